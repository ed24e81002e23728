"""What a report shows, whichever folder it came from. WER is in per cent everywhere, None where there are no words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from hra_cli.scoring.wer import Utterance

# Families: what a line or bar is about. Each has its colour.
FROZEN, HRA, ABLATION, BASELINE = "frozen", "hra", "ablation", "baseline"


@dataclass(frozen=True)
class Series:
    """WER by one method: of all tasks together and of each."""

    label: str
    family: str
    total: Optional[float]
    tasks: dict[str, Optional[float]]


@dataclass(frozen=True)
class WerTable:
    """One test set; `series` holds the frozen model first. words: reference words by task, {} where unknown."""

    title: str
    tasks: list[str]
    series: list[Series]
    words: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """A method's WER, with its 95 % interval, at its parameters per task. multi_task: multi-task, else single-task."""

    label: str
    family: str
    multi_task: bool
    parameters: float
    wer: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A method's mean WER over its seeds, less that of the first method, with the paired 95 % interval."""

    label: str
    family: str
    seeds: int
    wer: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Differences:
    """Methods against the first one. multi_task: all trained on all tasks together, else a model per task."""

    first: str
    multi_task: bool
    rows: list[Difference]


@dataclass(frozen=True)
class Line:
    """A method's parameters in all, for each number of tasks in `Growth.tasks`."""

    label: str
    family: str
    parameters: list[int]


@dataclass(frozen=True)
class Growth:
    """Parameters in all by the number of tasks, a line per method."""

    tasks: list[int]
    lines: list[Line]


@dataclass(frozen=True)
class Curve:
    """A line of (step, value), in the order of the steps."""

    label: str
    family: str
    points: list[tuple[int, float]]


@dataclass(frozen=True)
class ShotsPoint:
    """WER after so many utterances of each held-out task, with its 95 % interval over tasks.

    difference: from the first curve, with its interval; None where this is that curve.
    """

    shots: int
    wer: float
    low: float
    high: float
    difference: Optional[tuple[float, float, float]]


@dataclass(frozen=True)
class ShotsCurve:
    """A method from one start; the fewest shots first. common: held-out tasks start from what others have learned in
    common, else from nothing learned of their own."""

    label: str
    family: str
    common: bool
    parameters: int
    points: list[ShotsPoint]


@dataclass(frozen=True)
class Onboarding:
    """Curves over the utterances that held-out tasks are learned from. note: which tasks, and what is missing."""

    curves: list[ShotsCurve]
    note: str

    @property
    def shots(self) -> list[int]:
        """All numbers of utterances, the fewest first."""
        return sorted({point.shots for curve in self.curves for point in curve.points})


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; `text`: the columns that do not hold numbers."""

    columns: list[str]
    rows: list[list[str]]
    text: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Missing:
    """A sentence that says what is not there, and the command that would make it."""

    sentence: str
    command: str


@dataclass(frozen=True)
class Decoding:
    """The utterances of one decoding; title: what was decoded, and how."""

    title: str
    utterances: list[Utterance]


@dataclass(frozen=True)
class Content:
    """One report. Optional parts are None where they do not apply; `Missing` where they could be made."""

    title: str
    facts: dict[str, str]
    wer: list[WerTable]
    wer_missing: Optional[Missing]
    points: Optional[list[Point]]
    differences: list[Differences]
    growth: Growth
    growth_note: str
    dev_wer: list[Curve]
    train_loss: list[Curve]
    curves_missing: Optional[Missing]
    decoding: Decoding | Missing | None
    cells: Optional[Table]
    commands: list[str]
    versions: dict[str, str]
    config: dict[str, Any]
    onboarding: Optional[Onboarding] = None


def number(value: Optional[float], digits: int = 2) -> str:
    """A number with so many digits after the point and thousands separated, or a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"
