"""Tables and highlighted lines on the terminal."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hra_cli.commands.terminal import discard, writing_to
from hra_cli.io.plain_text import plain


class PlainConsole(Console):
    """A rich Console to which every string, also in a table, is text: no markup, no emoji, nothing a terminal obeys.

    Where nobody reads its output any more, the command goes on: its tables come before its files are written.
    """

    def __init__(self, stderr: bool = False, **options: Any):
        super().__init__(stderr=stderr, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does it for every string that it is given."""
        return super().render_str(plain(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does. Raises HraError where it cannot be written."""
        with writing_to(sys.stderr if self.stderr else sys.stdout):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Says no more."""
        self.quiet = True
        discard(sys.stderr if self.stderr else sys.stdout)


def print_whole(table: Table) -> None:
    """Prints a table at the width it needs: a terminal may break its lines, but no number is cut short."""
    needed = PlainConsole(width=10_000).measure(table).maximum
    PlainConsole(width=max(needed, PlainConsole().width)).print(table)
