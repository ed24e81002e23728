"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.plain_text import plain

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\..+")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block ends without an error.

    The temporary name keeps the suffixes, since lhotse and others choose the format by them. Raises HraError where it
    cannot be written, such as on a full disk.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):  # what went wrong before is what matters
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block, which writes `path`, into an HraError that names it.

    A full disk, for one, is an OSError that knows no file.
    """
    try:
        yield
    except OSError as error:
        raise HraError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all. What is no text, as in a damaged file's name, is written as \\udcff."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_text(path: Path) -> None:
    """Raises HraError for a path that is no text in this locale, so that no manifest or settings can name it."""
    _check_encoding(path, lambda: str(path).encode())


def check_utf8(path: Path) -> None:
    """Raises HraError for a path whose bytes are no UTF-8, whatever the locale: safetensors does not open it."""
    _check_encoding(path, lambda: os.fsencode(path).decode("utf-8"))


def _check_encoding(path: Path, encode: Callable[[], object]) -> None:
    try:
        encode()
    except UnicodeError as error:
        raise HraError(f"the name {plain(path)} is no UTF-8 text, and no file can refer to it; rename it") from error


def remove_leftovers(folder: Path) -> None:
    """Removes what `replacing` has left in `folder` when its process was killed. Only for the folder's one writer."""
    for file in folder.glob(".*") if folder.is_dir() else ():
        if is_temporary(file):
            file.unlink(missing_ok=True)


def is_temporary(file: Path) -> bool:
    """Whether the file is one of `replacing` that is being written, or was when its process was killed."""
    return _TEMPORARY.fullmatch(file.name) is not None


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
