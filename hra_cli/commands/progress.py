"""The progress bar of every long job: done, rate and time left."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hra_cli.commands.tables import PlainConsole
from hra_cli.io.plain_text import plain

_MEASURABLE = 1.0  # seconds; a rate over less says nothing


class PlainColumn(ProgressColumn):
    """The description of the work, or its note: names of tasks and files may be in it."""

    def __init__(self, text: Callable[[Task], str]):
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(plain(self._text(task)))


class RateColumn(ProgressColumn):
    """Steps per second, or seconds per step where that reads better."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        took = (task.elapsed if task.finished_time is None else task.finished_time) or 0.0
        if not speed or took < _MEASURABLE:
            return Text("-/s")
        # rich's own speed is of the last steps alone, which may all come at the same moment; of all steps, those that a
        # run had done before it was resumed took no time now.
        speed = min(speed, task.completed / took)
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class AudioColumn(ProgressColumn):
    """How much of the audio is done, in hours, minutes and seconds."""

    def render(self, task: Task) -> Text:
        done, total = (datetime.timedelta(seconds=round(one or 0)) for one in (task.completed, task.total))
        return Text(f"{done} of {total}", no_wrap=True)


class SpeedColumn(ProgressColumn):
    """Seconds of audio done in a second."""

    def render(self, task: Task) -> Text:
        took = (task.elapsed if task.finished_time is None else task.finished_time) or 0.0
        return Text(f"{task.completed / took:.1f}x" if took >= _MEASURABLE and task.completed else "-")


class _FromFirstTask(Progress):
    """Shows nothing before it has a task, so that a mistake found until then stays one line."""

    def __enter__(self) -> _FromFirstTask:
        return self

    def add_task(self, *args: Any, **kwargs: Any) -> TaskID:
        self.start()
        return super().add_task(*args, **kwargs)

    def __exit__(self, *error: Any) -> None:
        if self.tasks:
            self.stop()


def progress_bar() -> Progress:
    """A rich progress bar on standard error, so that standard output stays a result."""
    return _bar(
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        PlainColumn(lambda task: str(task.fields["note"])),
    )


def audio_bar() -> Progress:
    """As `progress_bar`, of work that is counted in seconds of audio."""
    return _bar(AudioColumn(), SpeedColumn(), TimeElapsedColumn(), TimeRemainingColumn())


def _bar(*columns: ProgressColumn) -> Progress:
    return _FromFirstTask(
        PlainColumn(lambda task: task.description),
        BarColumn(),
        *columns,
        console=PlainConsole(stderr=True),
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # a file gets its lines, not the terminal
    )
