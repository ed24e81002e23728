"""Stopping between two steps when the user, or a cluster, asks for it."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Optional


class StopRequest:
    """`asked` turns true on the first SIGINT or SIGTERM; a second SIGINT interrupts at once.

    once: it does not. torchrun passes a SIGINT on to processes that the terminal has sent it to as well.
    """

    def __init__(self, once: bool = False) -> None:
        self.asked = False
        self.once = once

    def __enter__(self) -> StopRequest:
        try:
            self._before: dict[int, Any] = {
                number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # not in the main thread: whoever owns it decides
            self._before = {}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: Optional[FrameType]) -> None:
        if self.asked and number == signal.SIGINT and not self.once:
            raise KeyboardInterrupt
        self.asked = True
