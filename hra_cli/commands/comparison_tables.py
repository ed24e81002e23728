"""A comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from rich.table import Table

from hra_cli.comparison.comparison_file import Comparison
from hra_cli.comparison.onboard_table import DIFFERENCE as ONBOARD_DIFFERENCE
from hra_cli.comparison.onboard_table import MEANING, columns, difference_rows, left_out, wer_rows
from hra_cli.comparison.table import DIFFERENCE, OVER_SEEDS, cell_rows, over_seeds_rows

COLUMNS = ("method", "mode", "seed", "lr", "per task", "in all", "WER %", "95 % interval", "seconds")


def comparison_tables(found: Comparison) -> list[Table]:
    """Tables from what `comparison.json` holds: every cell; every method's means over its seeds; onboarding."""
    cells = [[row.get(column, "") for column in COLUMNS] for row in cell_rows(found)]
    tables = [_table(f"test, {found.test.decoding_method}", COLUMNS, cells)]
    if found.over_seeds:
        tables.append(_table("over the seeds", OVER_SEEDS, over_seeds_rows(found), DIFFERENCE))
    onboarding = found.onboarding
    if onboarding is not None:
        caption = ". ".join([MEANING, *left_out(onboarding)])
        tables.append(_table("onboarding", columns(onboarding), wer_rows(onboarding), caption))
        if len(onboarding.rows) > 1:
            rows = difference_rows(onboarding)
            tables.append(_table("onboarding, differences", columns(onboarding), rows, ONBOARD_DIFFERENCE))
    return tables


def _table(title: str, columns: Sequence[str], rows: list[list[str]], caption: Optional[str] = None) -> Table:
    table = Table(title=title, caption=caption)
    for column in columns:
        table.add_column(column, justify="left" if column in ("method", "mode", "start") else "right")
    for row in rows:
        table.add_row(*row)
    return table
