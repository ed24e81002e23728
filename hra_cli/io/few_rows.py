"""Tables of thousands of rows, of which people look at the ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")
FEW = 10  # rows at either end of a long table


def few_of(rows: Sequence[Row], more: Callable[[str], Row]) -> list[Row]:
    """The rows, of many the first and the last ten; more: the row between them, which says how many are left out."""
    if len(rows) <= 2 * FEW:
        return list(rows)
    return [*rows[:FEW], more(f"… {len(rows) - 2 * FEW:,} more"), *rows[-FEW:]]
