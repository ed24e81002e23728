"""The program that trains one cell of `hra compare`.

python -m hra_cli.commands.train_cell CELL_FOLDER PARENT

It ends when PARENT, the id of the process that started it, does. What went wrong is its last line on standard error.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

from hra_cli.commands.terminal import say
from hra_cli.errors import INTERRUPTED, MISTAKE, HraError
from hra_cli.nn.memory import keep_freed_memory


def main() -> None:
    """Trains the cell that the arguments name. Exit code 2 for a user's mistake, 130 for an interruption."""
    # Before the long imports, during which the parent may end.
    _end_with(int(sys.argv[2]))
    keep_freed_memory()
    from hra_cli.comparison.cell import train_cell

    try:
        train_cell(Path(sys.argv[1]))
    except (HraError, OSError) as error:
        with contextlib.suppress(HraError, OSError):  # the log's disk may be what is full
            say(error, error=True)
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_with(parent: int) -> None:
    """Ends this process when `parent` ends: a second `hra compare` may be using the cell's folder by then."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
