"""comparison.json: what `hra compare` writes, and `hra report` and `hra info` read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Union

from hra_cli.comparison.cell_files import SplitScores, TaskScores, TriedRate
from hra_cli.comparison.growth import Growth
from hra_cli.comparison.onboard_records import Onboarding
from hra_cli.comparison.plan import CompareConfig, check_inside
from hra_cli.errors import HraError
from hra_cli.io.documents import check_numbers, parse_json, read_text
from hra_cli.io.files import write_text

COMPARISON_NAME = "comparison.json"
FORMAT = "hra-comparison"
FORMAT_VERSION = 1
REMEDY = "run `hra compare` again"


@dataclass(frozen=True)
class BackboneFacts:
    """The recogniser that was adapted."""

    path: str
    fingerprint: str
    parameters: int


@dataclass(frozen=True)
class TestedOn:
    """What every model was tested on, and how."""

    utterances: int
    words: int
    decoding_method: str


@dataclass(frozen=True)
class CellRecord:
    """One trained and tested method. mode: multi or single. folder: relative to the comparison's.

    wer, low, high: on test, in per cent, with the 95 % interval. dev: as of the selected epochs.
    """

    method: str
    label: str
    size: Optional[int]
    mode: str
    seed: int
    lr: float
    lrs: list[TriedRate]
    parameters_per_task: int
    parameters_shared: int
    parameters_in_all: int
    trainable: int
    wer: float
    errors: int
    words: int
    low: float
    high: float
    tasks: dict[str, TaskScores]
    dev: TaskScores
    seconds: float
    steps: int
    epochs: int
    peak_memory_mib: Optional[float]
    folder: str

    def __post_init__(self) -> None:
        check_numbers(self, but=("seed",))
        check_inside(self.folder)


@dataclass(frozen=True)
class OverSeeds:
    """A method in one mode over its seeds.

    wer, lowest, highest, dev_wer: in per cent, the mean over the seeds and its range, on test and on dev; no dev_wer
    without words on dev. difference, low, high: its mean WER less that of the first method in the same mode, with its
    paired 95 % interval; None for the first method itself.
    """

    label: str
    mode: str
    seeds: int
    parameters_per_task: int
    wer: float
    lowest: float
    highest: float
    dev_wer: Optional[float]
    difference: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if (self.difference is None) != (self.low is None) or (self.low is None) != (self.high is None):
            raise ValueError("a difference without its interval")


@dataclass(frozen=True)
class Comparison:
    """What comparison.json holds. frozen: the frozen model's scores on test. config: every option.
    onboarding: None where it was not asked for."""

    format: str
    format_version: int
    hra_version: str
    command: str
    config: CompareConfig
    machine: dict[str, Union[int, str]]
    backbone: BackboneFacts
    data: str
    tasks: list[str]
    test: TestedOn
    frozen: SplitScores
    cells: list[CellRecord]
    over_seeds: list[OverSeeds]
    growth: Growth
    onboarding: Optional[Onboarding] = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("there are no tasks")
        if any(len(line) != len(self.growth.tasks) for line in self.growth.methods.values()):
            raise ValueError("growth has not as many parameters as numbers of tasks")

    def as_json(self) -> dict[str, Any]:
        """As the file holds it; the first methods' differences are left out, and onboarding where there is none."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for record in found["over_seeds"]:
            if record["difference"] is None:
                for name in ("difference", "low", "high"):
                    del record[name]
        if found["onboarding"] is None:
            del found["onboarding"]
        return found


def read_comparison_file(exp_dir: Path) -> Comparison:
    """What `comparison.json` holds. Raises HraError where it is damaged, of another format or of another version."""
    file = exp_dir / COMPARISON_NAME
    text = read_text(file, REMEDY)
    found = parse_json(text, dict[str, Any], str(file), REMEDY)
    if found.get("format") != FORMAT:
        raise HraError(f"{file} was not written by `hra compare`; give the folder of a comparison")
    if found.get("format_version") != FORMAT_VERSION:
        raise HraError(
            f"{file} has format version {found.get('format_version')}, this hra reads {FORMAT_VERSION}; "
            "use the hra that wrote it"
        )
    return parse_json(text, Comparison, str(file), REMEDY)


def write_comparison_file(exp_dir: Path, comparison: Comparison) -> None:
    """Writes `comparison.json`, whole or not at all."""
    write_text(exp_dir / COMPARISON_NAME, json.dumps(comparison.as_json(), indent=2, ensure_ascii=False) + "\n")
