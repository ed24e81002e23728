"""Onboarding as cells: which tasks are held out together, what is learned from the others, and what each of them is
trained on. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Optional

from hra_cli.baselines.methods import Method
from hra_cli.comparison.cell_files import ModelToTrain
from hra_cli.comparison.onboard_options import ONBOARD, OnboardOptions
from hra_cli.comparison.plan import ALIKE, COMMON, ZERO, Cell, CompareConfig, model_config
from hra_cli.errors import HraError, did_you_mean

STARTS = (COMMON, ZERO)
FOLDS = 4  # at most, unless another number is asked for


@dataclass(frozen=True)
class Row:
    """A method and what a held-out task starts from: one curve over the shots."""

    method: Method
    start: str

    @property
    def needs_base(self) -> bool:
        """Whether something that it starts from is learned from the tasks that are not held out."""
        return self.start == COMMON or (self.method.kind.per_task and self.method.kind.shared)

    def cells(self, lrs: Sequence[float], seeds: Sequence[int], base_lr: Optional[float]) -> list[Cell]:
        """Its cells, one for each rate and seed. base_lr: of what they start from."""
        base = base_lr if self.needs_base else None
        return [Cell(self.method, f"{ONBOARD}-{self.start}", lr, seed, base) for lr in lrs for seed in seeds]


def rows_of(config: CompareConfig) -> list[Row]:
    """Every method with every start."""
    return [Row(method, start) for method in config.parsed_methods() for start in STARTS]


def base_cell(method: Method, lr: float, seed: int) -> Cell:
    """The cell of what held-out tasks start from: the method trained on the other tasks."""
    return Cell(method, "base", lr, seed)


def begin_cell(base: Cell) -> Cell:
    """The cell of held-out tasks without any utterance: what a base has in common for others."""
    return dataclasses.replace(base, mode=f"{ONBOARD}-begin")


def folds_of(tasks: Sequence[str], options: OnboardOptions) -> list[list[str]]:
    """The tasks that are held out together, fold by fold; the same for the same tasks.

    Raises HraError where nobody would be left to learn from, for a task that is not there, and for too many folds.
    """
    if options.held_out:
        for name in options.held_out:
            if name not in tasks:
                raise HraError(f"--held-out {name} is none of the tasks that are compared{did_you_mean(name, tasks)}")
        held_out = sorted(set(options.held_out))
        if len(held_out) == len(set(tasks)):
            raise HraError("--held-out names all tasks, and none is left to learn from; leave one out")
        return [held_out]
    if len(tasks) < 2:
        raise HraError(f"--modes {ONBOARD} learns from other tasks than it holds out, and there is only '{tasks[0]}'")
    number = options.folds or min(len(tasks), FOLDS)
    if number > len(tasks):
        raise HraError(f"--folds must be at most {len(tasks)}, the number of tasks, not {number}")
    dealt = sorted(tasks)
    Random("folds").shuffle(dealt)
    return [sorted(dealt[place::number]) for place in range(number)]


@dataclass(frozen=True)
class OnboardPlan:
    """What onboarding trains. tasks: all that are compared. utterances: to train on, of each."""

    config: CompareConfig
    options: OnboardOptions
    tasks: list[str]
    folds: list[list[str]]
    utterances: Mapping[str, int]

    def there(self, shots: int) -> list[str]:
        """The held-out tasks that have so many utterances to train on."""
        return [task for fold in self.folds for task in fold if self.utterances[task] >= shots]

    def base_models(self, cell: Cell) -> list[ModelToTrain]:
        """For every fold a model that is trained on the tasks of all others."""
        return [
            ModelToTrain(
                folder,
                dataclasses.replace(
                    model_config(self.config, cell, [task for task in self.tasks if task not in fold]), begin=ALIKE
                ),
            )
            for folder, fold in self._folds()
        ]

    def begin_models(self, base: Cell) -> list[ModelToTrain]:
        """The models of `begin_cell(base)`: of every fold."""
        return self._models(begin_cell(base), COMMON, 0, base)

    def models(self, row: Row, cell: Cell) -> list[ModelToTrain]:
        """The models of a row's cell: of every fold for every number of shots above 0, where tasks share one also of
        each task."""
        base = None if cell.base_lr is None else base_cell(cell.method, cell.base_lr, cell.seed)
        points = [shots for shots in self.options.points if shots]
        return [model for shots in points for model in self._models(cell, row.start, shots, base)]

    def _models(self, cell: Cell, start: str, shots: int, base: Optional[Cell]) -> list[ModelToTrain]:
        models = []
        for folder, fold in self._folds():
            held_out = [task for task in fold if task in self.there(shots)]
            together = shots == 0 or cell.method.kind.per_task
            groups = [(f"shots{shots}", held_out)] if together else [(f"shots{shots}/{one}", [one]) for one in held_out]
            for name, group in groups if held_out else ():
                config = dataclasses.replace(
                    model_config(self.config, cell, group),
                    num_epochs=self.options.onboard_epochs,
                    budget_seconds=None,
                    begin=start,
                    base=str(Path(base.name) / folder) if base is not None else None,
                    shots=shots,
                )
                models.append(ModelToTrain(f"{folder}/{name}", config))
        return models

    def _folds(self) -> list[tuple[str, list[str]]]:
        return [(f"fold{number}", fold) for number, fold in enumerate(self.folds, start=1)]
