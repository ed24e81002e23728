"""The whole comparison: train the grid, choose learning rates on dev, decode test, write what came out."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import torch
from rich.progress import Progress

from hra_cli import __version__
from hra_cli.comparison.cell_files import CellResult, ModelToTrain, checked_result, write_models
from hra_cli.comparison.choice import best_of, tried_rates
from hra_cli.comparison.comparison_file import (
    FORMAT,
    FORMAT_VERSION,
    BackboneFacts,
    CellRecord,
    Comparison,
    TestedOn,
    write_comparison_file,
)
from hra_cli.comparison.growth import growth
from hra_cli.comparison.on_test import OnTest, task_scores
from hra_cli.comparison.onboard_options import ONBOARD
from hra_cli.comparison.onboard_plan import Row
from hra_cli.comparison.onboard_run import OnboardRun
from hra_cli.comparison.over_seeds import over_seeds
from hra_cli.comparison.plan import NUM_JOBS, Cell, CompareConfig, model_configs
from hra_cli.comparison.table import markdown
from hra_cli.comparison.workers import train_cells, train_on_cluster
from hra_cli.data.splits import SPLITS
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import MOST_PROCESSES, HraError, check_positive
from hra_cli.experiment.config import CONFIG_NAME as EXPERIMENT_CONFIG_NAME
from hra_cli.experiment.config import TrainConfig, changed_options
from hra_cli.io.cluster import cluster_executor
from hra_cli.io.documents import read_yaml
from hra_cli.io.files import remove_leftovers, write_text
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import no_progress
from hra_cli.recognition.load import load_recogniser
from hra_cli.training.step import Diverged
from hra_cli.training.training_data import load_training_data
from hra_cli.transducer.loss import check_rnnt_type
from hra_cli.transducer.search import check_method

CONFIG_NAME = "compare.yaml"
TABLE_NAME = "comparison.md"
# Options that may change from one call to the next: they add cells, and change none.
MAY_CHANGE = ("methods", "modes", "lrs", "seeds", "device")


def compare(
    config: CompareConfig,
    exp_dir: Path,
    command: str = "",
    num_jobs: int = NUM_JOBS,
    progress: Optional[Progress] = None,
    cluster: Optional[str] = None,
) -> Comparison:
    """Trains and tests every method, and returns what `comparison.json` holds.

    num_jobs: cells trained at a time, each with its share of the CPU's cores (or OMP_NUM_THREADS of them). cluster:
    where they are trained instead, as `cluster_executor` takes it; what is tested, is tested here. Cells that
    are finished are not trained again, and interrupted ones go on. Raises HraError for what the user can mend, also
    where another process compares in `exp_dir`.
    """
    progress = progress or no_progress()
    check_method(config.decoding_method)
    check_rnnt_type(config.rnnt_type)
    check_positive(MOST_PROCESSES, num_jobs=num_jobs)
    rows = config.rows()
    threads = _threads(num_jobs)
    with one_writer(exp_dir), cluster_executor(cluster) as executor:
        comparison = _Comparison(config, exp_dir)
        grid = [cell for row in rows for cell in config.grid(*row)]
        comparison.check(grid)
        # Only after the checks, so that a mistake does not bind the folder to its options.
        _keep_config(config, exp_dir)
        remove_leftovers(exp_dir)

        def train(folders: Sequence[Path], what: str) -> None:
            if folders and cluster is not None:
                train_on_cluster(folders, executor, what, progress)
            elif folders:
                train_cells(folders, num_jobs, threads, what, progress)

        train([comparison.write_models(cell) for cell in grid], "learning rates")
        chosen = {row: comparison.best(config.grid(*row)) for row in rows}
        cells = [dataclasses.replace(chosen[row], seed=seed) for row in rows for seed in dict.fromkeys(config.seeds)]
        train([comparison.write_models(cell) for cell in cells], "chosen cells")
        onboarded = comparison.onboard.train(train) if comparison.onboard else {}

        found = comparison.scored(cells, onboarded, command, threads, progress)
        write_comparison_file(exp_dir, found)
        write_text(exp_dir / TABLE_NAME, markdown(found))
    return found


def _keep_config(config: CompareConfig, exp_dir: Path) -> None:
    import yaml

    file = exp_dir / CONFIG_NAME
    if file.exists():
        before = read_yaml(file, CompareConfig, "compare in a new folder")
        if config.onboarding is None:  # it may be asked for again, and its cells are there
            config = dataclasses.replace(config, onboarding=before.onboarding)
        changed = changed_options(_as_json(before), _as_json(config), (*MAY_CHANGE, "onboarding"))
        if before.onboarding is not None and config.onboarding is not None:
            changed += changed_options(asdict(before.onboarding), asdict(config.onboarding), but=())
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); compare in a new folder")
    elif (exp_dir / EXPERIMENT_CONFIG_NAME).exists():
        raise HraError(f"{exp_dir} already holds an experiment of `hra train`; compare in a new folder")
    write_text(file, yaml.safe_dump(_as_json(config), sort_keys=False, allow_unicode=True))


def _as_json(config: CompareConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return found


def _threads(num_jobs: int) -> int:
    """Of each cell: what OMP_NUM_THREADS says of the outermost level, where that is a number."""
    asked_for = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(asked_for) if asked_for.isdecimal() and int(asked_for) else max(1, (os.cpu_count() or 1) // num_jobs)


class _Comparison:
    """The cells of one folder."""

    def __init__(self, config: CompareConfig, exp_dir: Path):
        self.config = config
        self.exp_dir = exp_dir
        self.index = index = load_tasks(Path(config.data))
        self.tasks = index.select(list(config.tasks) or None)
        cuts = {split: {task: index.cuts(task, split) for task in self.tasks} for split in SPLITS}
        self.frozen = load_recogniser(Path(config.backbone), config.backbone_options)
        self.on_test = OnTest(
            self.frozen, {task: list(own) for task, own in cuts["test"].items()}, config.decoding_method
        )
        self.onboard: Optional[OnboardRun] = None

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell's models and results."""
        return self.exp_dir / "cells" / cell.name

    def check(self, grid: Sequence[Cell]) -> None:
        """Raises HraError for a cell that cannot be trained with these options, and a test set without words."""
        for cell in grid:
            list(model_configs(self.config, cell, self.tasks))
        for chunking in self.config.chunk_plan.every_size:
            self.frozen.backbone.options_with(chunking)
        if not any(self.index.splits(task)["test"].words for task in self.tasks):
            raise HraError(f"the test splits in {self.config.data} have no words, so there is no WER to compare")
        options = self.config.onboarding if ONBOARD in self.config.modes else None
        if options is not None:
            everything = TrainConfig(self.config.backbone, self.config.data, tuple(self.tasks))
            data = load_training_data(everything, self.frozen.backbone, self.frozen.tokenizer)
            cells = self.exp_dir / "cells"
            self.onboard = OnboardRun(self.config, options, self.index, self.tasks, data.utterances, cells)

    def write_models(self, cell: Cell) -> Path:
        """The cell's folder, with the list of its models in it."""
        write_models(self.folder(cell), self._models(cell))
        return self.folder(cell)

    def result(self, cell: Cell) -> CellResult:
        """What `train_cell` wrote about a cell. Raises HraError where that is damaged, or of other tasks."""
        return checked_result(self.folder(cell), self._models(cell))

    def best(self, grid: Sequence[Cell]) -> Cell:
        """The cell of these whose learning rate is chosen. Raises as `best_of` does."""
        return best_of({cell: self.result(cell) for cell in grid}, self.config.data)

    def _models(self, cell: Cell) -> list[ModelToTrain]:
        return [ModelToTrain(str(folder), model) for folder, model in model_configs(self.config, cell, self.tasks)]

    def scored(
        self, cells: Sequence[Cell], onboarded: dict[Row, list[Cell]], command: str, threads: int, progress: Progress
    ) -> Comparison:
        """What `comparison.json` holds, with the test scores of the frozen model, of `cells`, and of onboarding."""
        config, backbone = self.config, self.frozen.backbone
        frozen = self.on_test.of_frozen(self.exp_dir / "frozen")
        scored = []
        if cells:
            bar = progress.add_task("decoding test", total=len(cells), note="")
        for cell in cells:
            progress.update(bar, note=cell.name)
            scored.append(self._scored_cell(cell))
            progress.advance(bar)
        return Comparison(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            hra_version=__version__,
            command=command,
            config=config,
            machine={"torch": torch.__version__, "python": platform.python_version(), "cpu threads": threads},
            backbone=BackboneFacts(
                config.backbone, backbone.fingerprint, sum(p.numel() for p in backbone.parameters())
            ),
            data=config.data,
            tasks=self.tasks,
            test=TestedOn(self.on_test.utterances, frozen.words, config.decoding_method),
            frozen=frozen,
            cells=scored,
            over_seeds=over_seeds(self.exp_dir, scored, config.decoding_method),
            growth=growth(backbone, config.parsed_methods()),
            onboarding=self.onboard.scored(onboarded, self.on_test, frozen, progress) if self.onboard else None,
        )

    def _scored_cell(self, cell: Cell) -> CellRecord:
        result = self.result(cell)
        if result.diverged is not None:
            raise Diverged(f"{cell.name}: {result.diverged}")
        models = result.models
        tried = {one: self.result(one) for one in self.config.grid(cell.method, cell.mode)}
        per_task, shared = models[0].parameters_per_task, models[0].parameters_shared
        if cell.mode == "single":
            per_task, shared = per_task + shared, 0
        test = self.on_test.of_models(self.folder(cell), cell.method, self._models(cell), self.folder(cell))
        return CellRecord(
            method=cell.method.name,
            label=cell.method.label,
            size=cell.method.size,
            mode=cell.mode,
            seed=cell.seed,
            lr=cell.lr,
            lrs=tried_rates(tried),
            parameters_per_task=per_task,
            parameters_shared=shared,
            parameters_in_all=per_task * len(self.tasks) + shared,
            trainable=sum(model.trainable for model in models),
            wer=test.wer,
            errors=test.errors,
            words=test.words,
            low=test.low,
            high=test.high,
            tasks=test.tasks,
            dev=task_scores(result.dev),
            seconds=round(sum(model.seconds for model in models), 1),
            steps=sum(model.steps for model in models),
            epochs=max(model.epochs for model in models),
            peak_memory_mib=result.peak_memory_mib,
            folder=f"cells/{cell.name}",
        )
