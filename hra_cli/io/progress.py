"""Progress of long work: told to a rich Progress, which only the command line shows."""

from __future__ import annotations

from rich.progress import Progress


def no_progress() -> Progress:
    """A Progress that shows nothing, for callers that gave none."""
    return Progress(disable=True)
