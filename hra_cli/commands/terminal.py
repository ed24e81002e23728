"""Where text meets the terminal: what comes from outside, such as names in files, is shown as text and nothing else.

Tables and what is highlighted are in tables.py, which takes longer to import.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Optional, TextIO

from hra_cli.errors import HraError

# Control characters and escape sequences, line separators, marks and overrides of the writing direction, and what is no
# character at all (from a file's name that is no UTF-8).
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """Text in one line that a terminal shows and does not obey: what it would obey is written as \\x1b or \\u202e."""
    return _NOT_SHOWN.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def say(*parts: object, error: bool = False) -> None:
    """Prints one line, plain, with tabs between its parts. error: on standard error, so that output stays a result.

    Raises BrokenPipeError where nobody reads on, HraError where it cannot be written.
    """
    stream = sys.stderr if error else sys.stdout
    with writing_to(stream):
        print("\t".join(map(plain, parts)), file=stream, flush=True)


@contextlib.contextmanager
def writing_to(stream: Optional[TextIO]) -> Iterator[None]:
    """Turns an OSError of the block, which prints to `stream`, into an HraError, but for a pipe that nobody reads."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(stream)
        name = "standard error" if stream is sys.stderr else "standard output"
        raise HraError(f"cannot write to {name}: {error.strerror or error}") from error


def discard(stream: Optional[TextIO]) -> None:
    """Sends nowhere what is printed to `stream` from now on, and what is still to be written of it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # in a test it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def show_every_character() -> None:
    """Lets both streams write what their encoding lacks, such as accents in ASCII, as \\xe9."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Writes what is still to be written; where that fails, nobody is told again as Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            discard(stream)
