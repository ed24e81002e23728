"""Whether a file or folder can be written, asked before the work whose result it is for. Leaves nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.files import writing


def check_file(file: Path) -> None:
    """Raises HraError where `file` could not be written, also where it is a folder or a device."""
    with writing(file):
        if file.is_dir():
            raise HraError(f"{file} is a folder; give the name of a file, such as {file / 'result'}")
        if file.exists() and not file.is_file():
            raise HraError(f"{file} is no file but a device or a pipe, which would be replaced; give a file's name")
        # Files are written under a temporary name, which is longer.
        _nearest(file.with_name(f".{0:08x}.{file.name}"))
    _check(file.parent, file)


def check_folder(folder: Path) -> None:
    """Raises HraError where nothing could be written into `folder`, which need not be there yet."""
    _check(folder, folder)


def _check(folder: Path, what: Path) -> None:
    with writing(what):
        there = _nearest(folder)
        if not there.is_dir():
            raise OSError(errno.ENOTDIR, f"{there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, f"nothing can be written into {there}")


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there. Raises OSError for what cannot be made below that."""
    while True:
        try:
            path.lstat()
            return path
        except FileNotFoundError:
            path = path.parent
