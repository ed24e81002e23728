"""Where text meets the terminal: what comes from outside, such as names in files, is shown as text and nothing else.

Tables and what is highlighted are in tables.py, which takes longer to import.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Optional, TextIO

from hra_cli.errors import HraError
from hra_cli.io.plain_text import plain


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
