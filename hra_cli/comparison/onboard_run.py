"""Onboarding: training on the other tasks, then the held-out ones from a few utterances; choosing rates; scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from rich.progress import Progress

from hra_cli.comparison.cell_files import (
    CellResult,
    ModelToTrain,
    SplitScores,
    TaskScores,
    checked_result,
    write_models,
)
from hra_cli.comparison.choice import best_of, tried_rates
from hra_cli.comparison.on_test import OnTest
from hra_cli.comparison.onboard_options import OnboardOptions
from hra_cli.comparison.onboard_plan import OnboardPlan, Row, base_of, folds_of, rows_of
from hra_cli.comparison.onboard_records import LeftOut, Onboarding, OnboardPoint, OnboardRecord
from hra_cli.comparison.plan import ZERO, Cell, CompareConfig
from hra_cli.data.task_index import TaskIndex
from hra_cli.errors import HraError
from hra_cli.scoring.bootstrap import wer_difference_over_tasks, wer_over_tasks
from hra_cli.scoring.wer import rounded
from hra_cli.training.step import Diverged

# Trains the cells in these folders that have no result yet; the description is of the progress.
TrainCells = Callable[[Sequence[Path], str], None]
ByTask = dict[str, TaskScores]


class OnboardRun:
    """Trains and scores the curves of every method.

    utterances: to train on, of each task. Raises HraError for held-out tasks, folds and shots that leave nothing to
    train on or to score.
    """

    def __init__(
        self,
        config: CompareConfig,
        options: OnboardOptions,
        index: TaskIndex,
        tasks: list[str],
        utterances: Mapping[str, int],
        cells: Path,
    ):
        self.config = config
        self.plan = OnboardPlan(config, options, tasks, folds_of(tasks, options), utterances)
        self.cells = cells
        self.points = [shots for shots in options.points if self.plan.there(shots)]
        if not self.points:
            most = max(utterances[task] for fold in self.plan.folds for task in fold)
            raise HraError(f"--shots {options.points[0]} is more than the {most} utterances that a held-out task has")
        for shots in self.points:
            if not any(index.splits(task)["test"].words for task in self.plan.there(shots)):
                raise HraError(f"the test splits of held-out tasks in {config.data} have no words, so there is no WER")
        # What starts from zero is the frozen model until it is trained.
        self.rows = [row for row in rows_of(config) if row.start != ZERO or self.points != [0]]

    def train(self, train_cells: TrainCells) -> dict[Row, list[Cell]]:
        """Trains every row at every rate with the first seed, and at the best of them with the others.

        Returns the cells of the best rates. Raises Diverged, and HraError where dev has no words to choose by.
        """
        first = self.config.seeds[:1]
        self._train({row: row.cells(self.config.lrs_of(row.method), first) for row in self.rows}, train_cells)
        best = {row: best_of(self._results(row), self.config.data).lr for row in self.rows}
        chosen = {row: row.cells([best[row]], self.config.seeds) for row in self.rows}
        if len(chosen[self.rows[0]]) > 1:
            self._train(chosen, train_cells)
        return chosen

    def scored(
        self,
        chosen: Mapping[Row, list[Cell]],
        on_test: OnTest,
        frozen: SplitScores,
        progress: Progress,
    ) -> Onboarding:
        """The curves on test of the cells that `train` returns."""
        bar = progress.add_task("decoding held-out tasks", total=len(chosen) * len(self.points), note="")
        first: dict[int, list[ByTask]] = {}
        records = []
        for row, cells in chosen.items():
            points = []
            progress.update(bar, note=cells[0].name)
            for shots in self.points:
                scores = [self._scores(row, cell, shots, on_test, frozen) for cell in cells]
                points.append(_point(shots, scores, first.get(shots)))
                first.setdefault(shots, scores)
                progress.advance(bar)
            records.append(self._record(row, cells, points))
        held_out = [task for fold in self.plan.folds for task in fold]
        fewer = {
            shots: {task: self.plan.utterances[task] for task in held_out if task not in self.plan.there(shots)}
            for shots in self.plan.options.points
        }
        return Onboarding(
            folds=self.plan.folds,
            onboard_epochs=self.plan.options.onboard_epochs,
            left_out=[LeftOut(shots, tasks) for shots, tasks in fewer.items() if tasks],
            rows=records,
        )

    def _record(self, row: Row, cells: Sequence[Cell], points: list[OnboardPoint]) -> OnboardRecord:
        one = self._result(row, cells[0]).models[0]
        per_task, shared = one.parameters_per_task, one.parameters_shared
        if not per_task:  # a model for each task
            per_task, shared = shared, 0
        return OnboardRecord(
            method=row.method.name,
            label=row.method.label,
            size=row.method.size,
            start=row.start,
            seeds=len(cells),
            lr=cells[0].lr,
            lrs=tried_rates(self._results(row)),
            parameters_per_task=per_task,
            parameters_shared=shared,
            points=points,
        )

    def _train(self, cells: Mapping[Row, Sequence[Cell]], train_cells: TrainCells) -> None:
        """Trains cells, after what they start from."""
        bases = dict.fromkeys(base_of(cell) for row, own in cells.items() if row.needs_base for cell in own)
        train_cells([self._written(base, self.plan.base_models(base)) for base in bases], "other tasks")
        train_cells(
            [self._written(cell, self.plan.models(row, cell)) for row, own in cells.items() for cell in own],
            "held-out tasks",
        )

    def _written(self, cell: Cell, models: Sequence[ModelToTrain]) -> Path:
        write_models(self.cells / cell.name, models)
        return self.cells / cell.name

    def _result(self, row: Row, cell: Cell) -> CellResult:
        found = checked_result(self.cells / cell.name, self.plan.models(row, cell))
        if found.diverged is not None:
            raise Diverged(f"{cell.name}: {found.diverged}")
        return found

    def _results(self, row: Row) -> dict[Cell, CellResult]:
        """Of every rate that is tried."""
        grid = row.cells(self.config.lrs_of(row.method), self.config.seeds[:1])
        return {cell: checked_result(self.cells / cell.name, self.plan.models(row, cell)) for cell in grid}

    def _scores(self, row: Row, cell: Cell, shots: int, on_test: OnTest, frozen: SplitScores) -> ByTask:
        self._result(row, cell)  # which raises where it diverged
        models = self.plan.models_of(row, cell, shots)
        if not models:  # nothing has been learned
            return {task: frozen.tasks[task] for task in self.plan.there(shots)}
        folder = self.cells / cell.name
        return on_test.of_models(folder / f"shots{shots}", row.method, models, folder).tasks


def _point(shots: int, scores: Sequence[ByTask], first: Optional[Sequence[ByTask]]) -> OnboardPoint:
    """scores: of each seed. first: those of the first row, None where these are its own."""

    def counts(runs: Sequence[ByTask]) -> list[dict[str, tuple[int, int]]]:
        return [{task: (one.errors, one.words) for task, one in run.items()} for run in runs]

    wer, low, high = (round(value, 2) for value in wer_over_tasks(counts(scores)))
    difference: dict[str, float] = {}
    if first is not None:
        found = wer_difference_over_tasks(counts(scores), counts(first))
        names = ("difference", "difference_low", "difference_high")
        difference = {name: round(value, 2) for name, value in zip(names, found)}
    tasks = {task: _together([run[task] for run in scores]) for task in scores[0]}
    return OnboardPoint(shots, wer, low, high, tasks, **difference)


def _together(scores: Sequence[TaskScores]) -> TaskScores:
    errors, words = sum(one.errors for one in scores), sum(one.words for one in scores)
    return TaskScores(rounded(100.0 * errors / words) if words else None, errors, words)
