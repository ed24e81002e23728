"""Reading ahead: the next item is made while the last one is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Optional, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def one_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """make(item) of every item, in order, by one background thread that is never more than one item ahead.

    What `make` raises is raised where its value would have come.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        pending: Optional[Future[Made]] = None
        for item in items:
            following = thread.submit(make, item)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
