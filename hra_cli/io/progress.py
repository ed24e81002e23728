"""Progress of long work: told to a rich Progress, which only the command line shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional, TypeVar

from rich.progress import Progress, TaskID

SHOWN_EVERY = 1000
Item = TypeVar("Item")


def no_progress() -> Progress:
    """A Progress that shows nothing, for callers that gave none."""
    return Progress(disable=True)


def counted(
    items: Iterable[Item], progress: Optional[Progress], what: str, total: Optional[int] = None
) -> Iterator[Item]:
    """The same, while a bar says how many there have been, once there are many."""
    bar: Optional[TaskID] = None
    for number, item in enumerate(items, 1):
        yield item
        if progress is not None and (number % SHOWN_EVERY == 0 or (number == total and bar is not None)):
            bar = progress.add_task(what, total=total, note="") if bar is None else bar
            progress.update(bar, completed=number)
