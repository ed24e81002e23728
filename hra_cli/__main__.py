"""`hra`, and `python -m hra_cli`. Light, so that Ctrl-C is understood before anything else is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Optional


def main() -> None:
    """Runs the command line, and ends the process with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have told hra to ignore it
        signal.signal(signal.SIGINT, _interrupt)
    from hra_cli.app import main as run

    run()


def _interrupt(number: int, frame: Optional[FrameType]) -> None:
    """Raises KeyboardInterrupt; while modules are imported, ends the process, which has done nothing yet.

    Libraries turn an exception that is raised while they are imported into others, or lose it.
    """
    caller = frame
    while caller is not None:
        if caller.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"hra: interrupted\n")
            os._exit(130)
        caller = caller.f_back
    signal.default_int_handler(number, frame)


if __name__ == "__main__":
    main()
