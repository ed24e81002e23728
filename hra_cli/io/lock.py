"""One writer per folder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.files import check_text, writing

LOCK_NAME = ".hra-writer"
_TRY_AGAIN = 0.1  # seconds
_held: set[int] = set()  # descriptors of this process


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# A worker process that outlives a killed writer for some seconds would hold its lock.
os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def one_writer(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Makes `folder`, and is its only writer within the block. The system ends the lock when the process ends.

    wait: seconds to wait for another writer to end. A folder that was made here and is empty at the end is removed, so
    that a mistake leaves nothing behind. Raises HraError where another process is writing, saying which, and where the
    folder cannot be written.
    """
    check_text(folder)
    file = folder / LOCK_NAME
    with writing(folder):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(folder, file, time.monotonic() + wait)
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # who it is only helps; a full disk is found where something is written
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
        yield
    finally:
        if descriptor in _held:  # not in a forked process
            with contextlib.suppress(OSError):
                file.unlink()
            _held.remove(descriptor)
            os.close(descriptor)
            with contextlib.suppress(OSError):
                for path in made:
                    path.rmdir()


def _locked(folder: Path, file: Path, until: float) -> int:
    """A descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The writer before removes its file when it ends; one that is gone locks nothing.
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= until:
                who = os.read(descriptor, 200).decode(errors="replace") or "another process"
                os.close(descriptor)
                raise HraError(f"{who} is writing {folder}; wait until it ends, or choose another folder") from None
            time.sleep(_TRY_AGAIN)
        os.close(descriptor)
