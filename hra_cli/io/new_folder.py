"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.files import writing
from hra_cli.io.lock import one_writer


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `path` when the block ends without an error, and is removed otherwise.

    What a killed process has left is removed by the next one that makes this folder. Raises HraError where something is
    there already, but for an empty folder, where another process is making it, and where it cannot be written.
    """
    path = path.absolute()
    _check_free(path)
    beside = path.with_name(f".{path.name}.unfinished")
    try:
        with one_writer(beside):
            unfinished = beside / "folder"
            try:
                with writing(path):
                    shutil.rmtree(unfinished, ignore_errors=True)
                    unfinished.mkdir()
                yield unfinished
                _check_free(path)
                with writing(path):
                    os.replace(unfinished, path)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):  # of a killed process
            beside.rmdir()


def _check_free(path: Path) -> None:
    with writing(path):
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # a path that cannot be is named here, by its own name
        if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
            raise HraError(f"{path} is there already; choose another folder, or delete it")
