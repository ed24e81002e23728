"""Whether a file can be written, asked before the work whose result it is for. Leaves nothing behind."""

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
        # /dev/stdout is a link, which may lead to a file; the link would be replaced.
        if file.parent == Path("/dev") or (file.exists() and not file.is_file()):
            raise HraError(f"{file} is no file but a device or a pipe, which would be replaced; give a file's name")
        # Files are written under a temporary name, which is longer.
        _nearest(file.with_name(f".{0:08x}.{file.name}"))
        folder = _nearest(file.parent)
        if not folder.is_dir():
            raise OSError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, f"nothing can be written into {folder}")


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there. Raises OSError for what cannot be made below that."""
    while True:
        try:
            path.lstat()
            return path
        except FileNotFoundError:
            path = path.parent
