"""How a program ends that cannot go on: the one exception for what a user can mend, and exit statuses."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Optional

MISTAKE = 2  # the exit status after an HraError
INTERRUPTED = 130  # the exit status after Ctrl-C


class HraError(Exception):
    """A user's mistake or unusable input. Its message is one line: what, where, what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def check_positive(**options: Optional[float]) -> None:
    """Raises HraError for an option, named as a Python variable, that is not a positive finite number; None may be."""
    for name, value in options.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise HraError(f"--{name.replace('_', '-')} must be positive, not {value}")


def check_num_workers(num_workers: int) -> None:
    """Raises HraError for fewer processes than none."""
    if num_workers < 0:
        raise HraError(f"--num-workers must be 0 or more, not {num_workers}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: '; did you mean X?' with the known name nearest to `name`.

    Where none is near, it lists the first ten known names.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not names:
        return "; there are none"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"; known: {shown}"
