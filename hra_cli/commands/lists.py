"""Options that take several values in one text, with commas between."""

from __future__ import annotations

from typing import Callable, Optional, TypeVar

from hra_cli.backbone.options import WHOLE
from hra_cli.errors import HraError
from hra_cli.experiment.chunk_plan import Frames

Number = TypeVar("Number", int, float)


def split(text: str) -> list[str]:
    """The values of a list."""
    return [part.strip() for part in text.replace(",", " ").split()]


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """The numbers of a list. Raises HraError, which names `option`, for what is none."""
    try:
        return [kind(part) for part in split(text)]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise HraError(f"{option} is a list of {what} with commas between, not '{text}'") from None


def frames(option: str, text: Optional[str]) -> Frames:
    """Frames to draw from, or the one number that is given. Raises HraError as `numbers` does."""
    if text is None:
        return None
    found = numbers(option, text, int)
    if len(found) != 1:
        return tuple(found)
    return None if found == [WHOLE] else found[0]
