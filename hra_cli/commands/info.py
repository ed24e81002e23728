"""`hra info`: the facts about a path."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from hra_cli.commands import options
from hra_cli.inspection import describe


def info(
    path: Path = typer.Argument(..., help="Head, controller, recogniser, data folder or experiment."),
    pos_head_dim: int = options.POS_HEAD_DIM,
) -> None:
    """Show what a path is: sizes, fingerprints, scores."""
    description = describe(path, pos_head_dim)
    console = Console()
    facts = Table(title=f"{path}: {description.kind}", show_header=False, title_justify="left")
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in description.facts.items():
        facts.add_row(name, value)
    console.print(facts)
    if description.rows:
        parts = Table(*description.columns)
        for row in description.rows:
            parts.add_row(*row)
        console.print(parts)
