"""Tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def print_whole(table: Table) -> None:
    """Prints a table at the width it needs: a terminal may break its lines, but no number is cut short."""
    needed = Console(width=10_000).measure(table).maximum
    Console(width=max(needed, Console().width)).print(table)
