"""A comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from rich.table import Table

from hra_cli.comparison.comparison_file import Comparison
from hra_cli.comparison.table import DIFFERENCE, OVER_SEEDS, cell_rows, over_seeds_rows

COLUMNS = ("method", "mode", "seed", "lr", "per task", "in all", "WER %", "95 % interval", "seconds")


def comparison_tables(found: Comparison) -> tuple[Table, Table]:
    """Two tables from what `comparison.json` holds: every cell, and every method's means over its seeds."""
    cells = [[row.get(column, "") for column in COLUMNS] for row in cell_rows(found)]
    return (
        _table(f"test, {found.test.decoding_method}", COLUMNS, cells),
        _table("over the seeds", OVER_SEEDS, over_seeds_rows(found), DIFFERENCE),
    )


def _table(title: str, columns: Sequence[str], rows: list[list[str]], caption: Optional[str] = None) -> Table:
    table = Table(title=title, caption=caption)
    for column in columns:
        table.add_column(column, justify="left" if column in ("method", "mode") else "right")
    for row in rows:
        table.add_row(*row)
    return table
