"""How a program ends that cannot go on: the one exception for what a user can mend, and exit statuses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Optional

MISTAKE = 2  # the exit status after an HraError
INTERRUPTED = 130  # the exit status after Ctrl-C


class HraError(Exception):
    """A user's mistake or unusable input. Its message is one line: what, where, what to do.

    The command line prints it without a traceback and exits with code 2.
    """


# Bounds of options: far beyond what is of use, and far below where memory, an integer or a float32 ends.
MOST_SIZE = 8192  # of what is multiplied: channels, ranks
MOST_PROCESSES = 1024
MOST_SECONDS = 10_000_000  # four months
MOST_EPOCHS = 10_000_000_000  # a budget of seconds is turned into epochs, which may be short
MOST_SEED = 2**32 - 1
MOST_FLOAT = 1e38


def check_positive(most: float, **options: Optional[float]) -> None:
    """Raises HraError for an option, named as a Python variable, that is not a number above 0, up to `most`; None may
    be."""
    for name, value in options.items():
        if value is not None:
            _check(name, value, value > 0, "positive", most)


def check_not_negative(most: float, **options: Optional[float]) -> None:
    """Raises HraError for an option, named as a Python variable, that is not a number from 0 to `most`; None may be."""
    for name, value in options.items():
        if value is not None:
            _check(name, value, value >= 0, "0 or more", most)


def _check(name: str, value: float, enough: bool, what: str, most: float) -> None:
    if not enough or value > most:
        raise HraError(f"--{name.replace('_', '-')} must be {what if not enough else f'at most {most:,}'}, not {value}")


def nearest(name: str, known: Iterable[str]) -> Optional[str]:
    """The known name that is like `name`, None where none is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: '; did you mean X?' with the known name nearest to `name`.

    Where none is near, it lists the first ten known names.
    """
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean '{near}'?"
    if not names:
        return "; there are none"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"; known: {shown}"
