"""TensorBoard's event file, written at once: its own writer is a thread, which would end with a traceback on a full
disk, and hand its error on at some later step or never."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from hra_cli.io.files import writing


class Board:
    """A new event file in `folder`. step: the first one to come; what older files hold from there on is hidden.

    Raises HraError where it cannot be written.
    """

    def __init__(self, folder: Path, step: int):
        self.file = folder / f"events.out.tfevents.{time.time_ns()}.{os.uname().nodename}.{os.getpid()}"
        with writing(self.file):
            folder.mkdir(parents=True, exist_ok=True)
            self.records = RecordWriter(open(self.file, "xb"))  # noqa: SIM115 - closed below
        # What torch's SummaryWriter does for its purge_step.
        self._write(Event(step=step, file_version="brain.Event:2"))
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, values: dict[str, float], step: int) -> None:
        """Values of one step, by name. Raises HraError where they cannot be written."""
        summary = Summary(value=[Summary.Value(tag=name, simple_value=one) for name, one in values.items()])
        self._write(Event(step=step, summary=summary))

    def close(self) -> None:
        """Closes the file, of which everything is written already."""
        with contextlib.suppress(OSError):
            self.records.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with writing(self.file):
            self.records.write(event.SerializeToString())
            self.records.flush()
