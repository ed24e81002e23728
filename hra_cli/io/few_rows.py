"""Tables of thousands of rows, of which people look at the ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional, TypeVar

Row = TypeVar("Row")
FEW = 10  # rows at either end of a long table


def ends_by(rows: Sequence[Row], value: Callable[[Row], Optional[float]]) -> list[Row]:
    """The rows as they are, or where they are too many to be shown, by value, so that `few_of` shows both ends."""
    return list(rows) if len(rows) <= 2 * FEW else sorted(rows, key=lambda row: value(row) or 0.0)


def few_of(rows: Sequence[Row], more: Callable[[str], Row]) -> list[Row]:
    """The rows, of many the first and the last ten; more: the row between them, which says how many are left out."""
    if len(rows) <= 2 * FEW:
        return list(rows)
    return [*rows[:FEW], more(f"… {len(rows) - 2 * FEW:,} more"), *rows[-FEW:]]
