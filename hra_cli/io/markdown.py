"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> list[str]:
    """The lines of a table. text: how many columns, from the left, are not numbers; the others are aligned right."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * text + "---:|" * (len(columns) - text),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
