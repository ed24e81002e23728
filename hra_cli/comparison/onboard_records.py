"""What comparison.json says of onboarding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from hra_cli.comparison.cell_files import TaskScores, TriedRate
from hra_cli.io.documents import check_numbers


@dataclass(frozen=True)
class OnboardPoint:
    """A row's scores on test after so many utterances of each task.

    wer, low, high: in per cent, the mean over the seeds and its 95 % interval over tasks. tasks: errors and words of
    all seeds together. difference: from the first row, with its paired interval over tasks; None for the first row.
    """

    shots: int
    wer: float
    low: float
    high: float
    tasks: dict[str, TaskScores]
    difference: Optional[float] = None
    difference_low: Optional[float] = None
    difference_high: Optional[float] = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if len({one is None for one in (self.difference, self.difference_low, self.difference_high)}) > 1:
            raise ValueError("a difference without its interval")


@dataclass(frozen=True)
class OnboardRecord:
    """A method from one start. parameters_per_task: what a task adds; parameters_shared: learned from other tasks.

    lr, lrs: of onboarding, and what each that was tried came to; those of what it starts from, if anything: base_lr,
    base_lrs.
    """

    method: str
    label: str
    size: Optional[int]
    start: str
    seeds: int
    lr: float
    lrs: list[TriedRate]
    parameters_per_task: int
    parameters_shared: int
    points: list[OnboardPoint]
    base_lr: Optional[float] = None
    base_lrs: list[TriedRate] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_numbers(self)


@dataclass(frozen=True)
class LeftOut:
    """Tasks that have fewer utterances to train on than `shots`, and how many."""

    shots: int
    tasks: dict[str, int]


@dataclass(frozen=True)
class Onboarding:
    """folds: the tasks that were held out together. onboard_epochs: passes over the utterances of each."""

    folds: list[list[str]]
    onboard_epochs: int
    left_out: list[LeftOut]
    rows: list[OnboardRecord]

    def __post_init__(self) -> None:
        if not self.folds or not self.rows or not all(row.points for row in self.rows):
            raise ValueError("onboarding without tasks or results")

    @property
    def shots(self) -> list[int]:
        """The numbers of shots for which there is a result."""
        return sorted({point.shots for row in self.rows for point in row.points})
