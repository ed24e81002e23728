"""Text files of others, line by line: what is no text is named with its line, and no line takes all memory.

And what a line says of an id that another line has said something else of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hra_cli.errors import HraError

_LONGEST = 1 << 20  # bytes


def text_lines(file: Path, remedy: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, numbered from 1, with their ends, without a byte order mark.

    Only a line feed ends a line. Raises HraError that ends with `remedy` where the file is missing or no regular file
    (reading a pipe could wait forever), and that names the line which is no text in UTF-8 or longer than a MiB.
    """
    if not os.path.isfile(file):  # also where the name is too long
        raise HraError(f"no such file: {file}; {remedy}")
    try:
        with open(file, "rb") as stream:
            number = 0
            while line := stream.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST:
                    raise HraError(f"{file}, line {number}: it is longer than {_LONGEST >> 20} MiB; {remedy}")
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise HraError(f"{file}, line {number}: it is no text in UTF-8; {remedy}") from error
    except OSError as error:
        raise HraError(f"cannot read {file}: {error.strerror or error}; {remedy}") from error


def refuse_another(file: Path, number: int, id_: str, here: str, above: str) -> None:
    """Raises HraError that names the line where a file says of an id another thing than it said above."""
    if here != above:
        raise HraError(f"{file}, line {number}: '{id_}' is '{here[:100]}' here and '{above[:100]}' above; keep one")
