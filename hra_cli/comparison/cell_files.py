"""A cell's own files: models.json, what to train; model.safetensors, each of them; result.json, what came of it;
test.json, its scores on test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from hra_cli.comparison.plan import CellConfig, check_inside
from hra_cli.errors import HraError
from hra_cli.io.documents import check_numbers, read_json
from hra_cli.io.files import write_text
from hra_cli.scoring.wer import ErrorCounts

MODELS_NAME = "models.json"
RESULT_NAME = "result.json"
TEST_NAME = "test.json"
MODEL_NAME = "model.safetensors"
REMEDY = "run `hra compare` again"


@dataclass(frozen=True)
class ModelToTrain:
    """A model of a cell: its folder, relative to the cell's, and what decides it."""

    folder: str
    config: CellConfig

    def __post_init__(self) -> None:
        check_inside(self.folder)


@dataclass(frozen=True)
class ModelResult:
    """What training one model came to. dev, dev_errors, dev_loss: as of the selected epoch."""

    tasks: list[str]
    parameters_per_task: int
    parameters_shared: int
    trainable: int
    epochs: int
    selected_epoch: int
    steps: int
    seconds: float
    dev: dict[str, ErrorCounts]
    dev_errors: int
    dev_loss: float
    peak_memory_mib: float

    def __post_init__(self) -> None:
        check_numbers(self)
        for counts in self.dev.values():
            check_numbers(counts)


@dataclass(frozen=True)
class CellResult:
    """What training a cell came to: its models, or how it diverged."""

    models: list[ModelResult] = field(default_factory=list)
    peak_memory_mib: Optional[float] = None
    diverged: Optional[str] = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if bool(self.models) == (self.diverged is not None):
            raise ValueError("there are either models, or how they diverged")

    @property
    def dev(self) -> ErrorCounts:
        """Word errors on dev of all models together."""
        return sum((counts for model in self.models for counts in model.dev.values()), ErrorCounts())

    @property
    def dev_errors(self) -> int:
        """Of all models together."""
        return sum(model.dev_errors for model in self.models)

    @property
    def dev_loss(self) -> float:
        """Of all models together, rounded."""
        return round(sum(model.dev_loss for model in self.models), 2)


@dataclass(frozen=True)
class TriedRate:
    """A learning rate that was tried, and what came of it on dev."""

    lr: float
    dev_errors: int
    dev_loss: float

    def __post_init__(self) -> None:
        check_numbers(self)


@dataclass(frozen=True)
class TaskScores:
    """Word errors of a task, or of several. wer: in per cent, None without words."""

    wer: Optional[float]
    errors: int
    words: int

    def __post_init__(self) -> None:
        check_numbers(self)


@dataclass(frozen=True)
class SplitScores:
    """Scores on the test set, of all tasks and of each. wer, and the ends of its interval: in per cent."""

    wer: float
    errors: int
    words: int
    low: float
    high: float
    tasks: dict[str, TaskScores]

    def __post_init__(self) -> None:
        check_numbers(self)


def read_models(folder: Path) -> list[ModelToTrain]:
    """What models.json says. Raises HraError where it is damaged."""
    models = read_json(folder / MODELS_NAME, list[ModelToTrain], REMEDY)
    if not models:
        raise HraError(f"{folder / MODELS_NAME} is damaged: it lists no model; {REMEDY}")
    return models


def write_models(folder: Path, models: Sequence[ModelToTrain]) -> None:
    """Writes models.json, whole or not at all."""
    _write(folder / MODELS_NAME, [asdict(model) for model in models])


def read_result(folder: Path) -> CellResult:
    """What result.json says. Raises HraError where it is damaged."""
    return read_json(folder / RESULT_NAME, CellResult, f"delete {folder}, and {REMEDY}")


def checked_result(folder: Path, models: Sequence[ModelToTrain]) -> CellResult:
    """What result.json says of these models. Raises HraError where it is damaged, or of other tasks."""
    found = read_result(folder)
    if found.models and [model.tasks for model in found.models] != [list(model.config.tasks) for model in models]:
        raise HraError(f"{folder} is of other tasks; delete it, and run `hra compare` again")
    return found


def write_result(folder: Path, result: CellResult) -> None:
    """Writes result.json, whole or not at all."""
    content = asdict(result)
    _write(folder / RESULT_NAME, {name: value for name, value in content.items() if value not in (None, [])})


def read_test(folder: Path) -> SplitScores:
    """What test.json says. Raises HraError where it is damaged."""
    return read_json(folder / TEST_NAME, SplitScores, f"delete it, and {REMEDY}")


def write_test(folder: Path, scores: SplitScores) -> None:
    """Writes test.json, whole or not at all."""
    _write(folder / TEST_NAME, asdict(scores))


def _write(file: Path, content: Any) -> None:
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
