"""The whole comparison: train the grid, choose learning rates on dev, decode test, write what came out."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Optional

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli import __version__
from hra_cli.baselines.build import new_method
from hra_cli.comparison.cell import MODEL_NAME
from hra_cli.comparison.cell_files import (
    TEST_NAME,
    CellResult,
    ModelToTrain,
    SplitScores,
    TaskScores,
    read_result,
    read_test,
    write_models,
    write_test,
)
from hra_cli.comparison.comparison_file import (
    FORMAT,
    FORMAT_VERSION,
    BackboneFacts,
    CellRecord,
    Comparison,
    TestedOn,
    TriedRate,
    write_comparison_file,
)
from hra_cli.comparison.growth import growth
from hra_cli.comparison.over_seeds import over_seeds
from hra_cli.comparison.plan import NUM_JOBS, Cell, CompareConfig, model_configs
from hra_cli.comparison.table import markdown
from hra_cli.comparison.workers import train_cells
from hra_cli.data.splits import SPLITS
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import MOST_PROCESSES, HraError, check_positive
from hra_cli.experiment.config import CONFIG_NAME as EXPERIMENT_CONFIG_NAME
from hra_cli.experiment.config import changed_options
from hra_cli.io.documents import read_yaml
from hra_cli.io.files import remove_leftovers, write_text
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import no_progress
from hra_cli.io.tensors import read_safetensors
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.bootstrap import wer_interval
from hra_cli.scoring.results import result_files, write_results
from hra_cli.scoring.wer import ErrorCounts, Utterance, rounded, score
from hra_cli.training.selection import as_good_as
from hra_cli.training.step import Diverged
from hra_cli.transducer.loss import check_rnnt_type
from hra_cli.transducer.search import check_method
from hra_cli.transducer.search_options import SearchOptions

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
) -> Comparison:
    """Trains and tests every method, and returns what `comparison.json` holds.

    num_jobs: cells trained at a time, each with its share of the CPU's cores (or OMP_NUM_THREADS of them). Cells that
    are finished are not trained again, and interrupted ones go on. Raises HraError for what the user can mend, also
    where another process compares in `exp_dir`.
    """
    progress = progress or no_progress()
    check_method(config.decoding_method)
    check_rnnt_type(config.rnnt_type)
    check_positive(MOST_PROCESSES, num_jobs=num_jobs)
    rows = config.rows()
    threads = _threads(num_jobs)
    with one_writer(exp_dir):
        comparison = _Comparison(config, exp_dir)
        grid = [cell for row in rows for cell in config.grid(*row)]
        comparison.check(grid)
        # Only after the checks, so that a mistake does not bind the folder to its options.
        _keep_config(config, exp_dir)
        remove_leftovers(exp_dir)

        train_cells([comparison.write_models(cell) for cell in grid], num_jobs, threads, "learning rates", progress)
        chosen = {row: comparison.best(config.grid(*row)) for row in rows}
        cells = [dataclasses.replace(chosen[row], seed=seed) for row in rows for seed in dict.fromkeys(config.seeds)]
        train_cells([comparison.write_models(cell) for cell in cells], num_jobs, threads, "chosen cells", progress)

        found = comparison.scored(cells, command, threads, progress)
        write_comparison_file(exp_dir, found)
        write_text(exp_dir / TABLE_NAME, markdown(found))
    return found


def _keep_config(config: CompareConfig, exp_dir: Path) -> None:
    import yaml

    content = _as_json(config)
    file = exp_dir / CONFIG_NAME
    if file.exists():
        before = read_yaml(file, CompareConfig, "compare in a new folder")
        changed = changed_options(_as_json(before), content, MAY_CHANGE)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); compare in a new folder")
    elif (exp_dir / EXPERIMENT_CONFIG_NAME).exists():
        raise HraError(f"{exp_dir} already holds an experiment of `hra train`; compare in a new folder")
    write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _as_json(config: CompareConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
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
        self.test_cuts = cuts["test"]
        self.frozen = load_recogniser(Path(config.backbone), config.backbone_options)

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

    def write_models(self, cell: Cell) -> Path:
        """The cell's folder, with the list of its models in it."""
        models = [ModelToTrain(str(folder), model) for folder, model in model_configs(self.config, cell, self.tasks)]
        write_models(self.folder(cell), models)
        return self.folder(cell)

    def result(self, cell: Cell) -> CellResult:
        """What `train_cell` wrote about a cell. Raises HraError where that is damaged, or of other tasks."""
        found = read_result(self.folder(cell))
        tasks = [list(model.tasks) for _, model in model_configs(self.config, cell, self.tasks)]
        if found.models and [model.tasks for model in found.models] != tasks:
            raise HraError(f"{self.folder(cell)} is of other tasks; delete it, and run `hra compare` again")
        return found

    def best(self, grid: Sequence[Cell]) -> Cell:
        """The cell with the lowest dev loss, of those that may have the fewest dev errors (`as_good_as`).

        Raises Diverged where none was trained to the end, and HraError where dev has no words to choose by.
        """
        results = {cell: self.result(cell) for cell in grid}
        trained = {cell: result for cell, result in results.items() if result.diverged is None}
        if not trained:
            raise Diverged(f"{grid[0].method}, {grid[0].mode}: {results[grid[0]].diverged}")
        if len(trained) > 1 and not any(result.dev.words for result in trained.values()):
            raise HraError(
                f"no words on dev in {self.config.data} that could be scored, by which to choose one of the learning "
                f"rates {', '.join(f'{cell.lr:g}' for cell in grid)}; give one with --lrs"
            )
        enough = as_good_as(min(result.dev_errors for result in trained.values()))
        return min(
            (cell for cell in trained if trained[cell].dev_errors <= enough), key=lambda cell: trained[cell].dev_loss
        )

    def scored(self, cells: Sequence[Cell], command: str, threads: int, progress: Progress) -> Comparison:
        """What `comparison.json` holds, with the test scores of the frozen model and of `cells`."""
        config, backbone = self.config, self.frozen.backbone
        cuts = {task: list(found) for task, found in self.test_cuts.items()}
        everything = [*chain.from_iterable(cuts.values())]
        frozen = self._scores(self.exp_dir / "frozen", lambda: self._decoded(self.frozen, everything))
        bar = progress.add_task("decoding test", total=len(cells), note="")
        scored = []
        for cell in cells:
            progress.update(bar, note=cell.name)
            scored.append(self._scored_cell(cell, cuts))
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
            test=TestedOn(len(everything), frozen.words, config.decoding_method),
            frozen=frozen,
            cells=scored,
            over_seeds=over_seeds(self.exp_dir, scored, config.decoding_method),
            growth=growth(backbone, config.parsed_methods()),
        )

    def _scored_cell(self, cell: Cell, cuts: dict[str, list[Cut]]) -> CellRecord:
        result = self.result(cell)
        if result.diverged is not None:
            raise Diverged(f"{cell.name}: {result.diverged}")
        models = result.models
        tried = [(one, self.result(one)) for one in self.config.grid(cell.method, cell.mode)]
        per_task, shared = models[0].parameters_per_task, models[0].parameters_shared
        if cell.mode == "single":
            per_task, shared = per_task + shared, 0
        test = self._scores(self.folder(cell), lambda: self._decoded_by_task(cell, cuts))
        return CellRecord(
            method=cell.method.name,
            label=cell.method.label,
            size=cell.method.size,
            mode=cell.mode,
            seed=cell.seed,
            lr=cell.lr,
            lrs=[TriedRate(one.lr, found.dev_errors, found.dev_loss) for one, found in tried if found.diverged is None],
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
            dev=_task_scores(result.dev),
            seconds=round(sum(model.seconds for model in models), 1),
            steps=sum(model.steps for model in models),
            epochs=max(model.epochs for model in models),
            peak_memory_mib=result.peak_memory_mib,
            folder=f"cells/{cell.name}",
        )

    def _decoded_by_task(self, cell: Cell, cuts: dict[str, list[Cut]]) -> list[Utterance]:
        """Each task's test cuts, by the cell's model that is for it."""
        utterances: list[Utterance] = []
        for part, model in model_configs(self.config, cell, self.tasks):
            backbone, adapter = new_method(cell.method, self.frozen.backbone, model.tasks, model.seed)
            adapter.load_state_dict(read_safetensors(self.folder(cell) / part / MODEL_NAME)[0])
            recogniser = Recogniser(backbone, self.frozen.tokenizer, adapter)
            utterances += self._decoded(recogniser, [cut for task in model.tasks for cut in cuts[task]])
        return utterances

    def _decoded(self, recogniser: Recogniser, cuts: list[Cut]) -> list[Utterance]:
        method = self.config.decoding_method
        return decode_cuts(
            recogniser, CutSet.from_cuts(cuts), method, SearchOptions(), DecodeConfig.max_duration
        ).utterances

    def _scores(self, folder: Path, decode: Callable[[], list[Utterance]]) -> SplitScores:
        """Test scores: those in the folder, if it has them, or else of what `decode` returns."""
        remove_leftovers(folder)
        method = self.config.decoding_method
        if (folder / TEST_NAME).exists() and result_files(folder, "test", method).recogs.is_file():
            return read_test(folder)
        utterances = decode()
        write_results(folder, "test", method, utterances)
        scores, (low, high) = score(utterances), wer_interval(utterances)
        found = SplitScores(
            wer=round(100.0 * scores.total.errors / scores.total.words, 2),
            errors=scores.total.errors,
            words=scores.total.words,
            low=round(low, 2),
            high=round(high, 2),
            tasks={task: _task_scores(counts) for task, counts in scores.tasks.items()},
        )
        write_test(folder, found)
        return found


def _task_scores(counts: ErrorCounts) -> TaskScores:
    return TaskScores(rounded(counts.wer), counts.errors, counts.words)
