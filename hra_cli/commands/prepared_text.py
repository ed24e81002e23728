"""What `hra prepare` shows of what was done to transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hra_cli.commands.terminal import say

if TYPE_CHECKING:
    from hra_cli.data.text_form import TextChanges

_WIDTH = 70  # of an example


def print_text_changes(changes: TextChanges) -> None:
    """A line, and three transcripts before and after."""
    from hra_cli.data.transcripts import text_done

    say(f"text: {text_done(changes)}")
    for example in changes.examples:
        say(f"  {_short(example.before)}")
        say(f"  → {_short(example.after)}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[:_WIDTH] + " …"
