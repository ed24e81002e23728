"""Onboarding: training on the other tasks, then the held-out ones from a few utterances; choosing rates; scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from rich.progress import Progress

from hra_cli.baselines.methods import Method
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
from hra_cli.comparison.onboard_plan import OnboardPlan, Row, base_cell, begin_cell, folds_of, rows_of
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
        """Trains what is shared at every rate with the first seed, held-out tasks from the best of it at every rate,
        and both at their best rates with the other seeds.

        The better others serve held-out tasks that have no utterance, the better is what is learned from them. Returns
        the cells of the best rates. Raises Diverged, and HraError where dev has no words to choose by.
        """
        first, *others = dict.fromkeys(self.config.seeds)
        methods = self.config.parsed_methods()
        bases = [base for method in methods for base in self._bases_to_choose_from(method)]
        train_cells([self._written_base(base) for base in bases], "other tasks")
        train_cells([self._written_begin(base) for base in bases], "what they have in common")
        base_lr = {method: best_of(self._begun(method), self.config.data).lr for method in methods}
        again = [base_cell(method, lr, seed) for method, lr in base_lr.items() for seed in others]
        # Together, since neither waits for the other.
        few = {row: self._cells_to_choose_from(row, base_lr[row.method]) for row in self.rows}
        folders = [self._written_base(base) for base in again]
        train_cells(folders + self._written(few), "held-out tasks")
        chosen = {}
        for row, cells in few.items():
            lr = best_of(self._results(row, cells), self.config.data).lr if self._trains else base_lr[row.method]
            chosen[row] = row.cells([lr], [first, *others], base_lr[row.method])
        if others:
            folders = [self._written_begin(base) for base in again]
            train_cells(folders + self._written(chosen), "held-out tasks, other seeds")
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
        first, begun = cells[0], self._begun(row.method)
        one = self._result(*self._where(row, first, self.points[-1])).models[0]
        per_task, shared = one.parameters_per_task, one.parameters_shared
        if not per_task:  # a model for each task
            per_task, shared = shared, 0
        tried = self._results(row, self._cells_to_choose_from(row, first.base_lr)) if self._trains else {}
        return OnboardRecord(
            method=row.method.name,
            label=row.method.label,
            size=row.method.size,
            start=row.start,
            seeds=len(cells),
            lr=first.lr,
            lrs=tried_rates(tried),
            parameters_per_task=per_task,
            parameters_shared=shared,
            points=points,
            base_lr=first.base_lr,
            base_lrs=tried_rates(begun) if row.needs_base else [],
        )

    @property
    def _trains(self) -> bool:
        """Whether held-out tasks have any utterance."""
        return self.points != [0]

    def _bases_to_choose_from(self, method: Method) -> list[Cell]:
        return [base_cell(method, lr, self.config.seeds[0]) for lr in self.config.lrs_of(method)]

    def _cells_to_choose_from(self, row: Row, base_lr: Optional[float]) -> list[Cell]:
        return row.cells(self.config.lrs_of(row.method), self.config.seeds[:1], base_lr)

    def _written_base(self, base: Cell) -> Path:
        return self._with_models(base, self.plan.base_models(base))

    def _written_begin(self, base: Cell) -> Path:
        return self._with_models(begin_cell(base), self.plan.begin_models(base))

    def _written(self, cells: Mapping[Row, Sequence[Cell]]) -> list[Path]:
        found = [(cell, self.plan.models(row, cell)) for row, own in cells.items() for cell in own]
        return [self._with_models(cell, models) for cell, models in found if models]

    def _with_models(self, cell: Cell, models: Sequence[ModelToTrain]) -> Path:
        write_models(self.cells / cell.name, models)
        return self.cells / cell.name

    def _begun(self, method: Method) -> dict[Cell, CellResult]:
        """Of every rate that is tried for what is shared."""
        return {
            begin_cell(base): checked_result(self.cells / begin_cell(base).name, self.plan.begin_models(base))
            for base in self._bases_to_choose_from(method)
        }

    def _results(self, row: Row, cells: Sequence[Cell]) -> dict[Cell, CellResult]:
        return {cell: checked_result(self.cells / cell.name, self.plan.models(row, cell)) for cell in cells}

    def _where(self, row: Row, cell: Cell, shots: int) -> tuple[Cell, list[ModelToTrain]]:
        """The cell that has a row's models of so many shots, and all models of that cell."""
        if shots:
            return cell, self.plan.models(row, cell)
        assert cell.base_lr is not None
        base = base_cell(cell.method, cell.base_lr, cell.seed)
        return begin_cell(base), self.plan.begin_models(base)

    def _result(self, cell: Cell, models: Sequence[ModelToTrain]) -> CellResult:
        found = checked_result(self.cells / cell.name, models)
        if found.diverged is not None:
            raise Diverged(f"{cell.name}: {found.diverged}")
        return found

    def _scores(self, row: Row, cell: Cell, shots: int, on_test: OnTest, frozen: SplitScores) -> ByTask:
        if shots == 0 and row.start == ZERO:  # nothing has been learned
            return {task: frozen.tasks[task] for task in self.plan.there(shots)}
        trained, models = self._where(row, cell, shots)
        self._result(trained, models)  # which raises where it diverged
        folder, own = self.cells / trained.name, [model for model in models if model.config.shots == shots]
        return on_test.of_models(folder / f"shots{shots}", row.method, own, folder).tasks


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
