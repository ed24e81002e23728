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
import yaml
from lhotse import CutSet
from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli import __version__
from hra_cli.baselines.build import new_method
from hra_cli.comparison.cell import MODEL_NAME, MODELS_NAME, RESULT_NAME
from hra_cli.comparison.comparison_file import write_comparison_file
from hra_cli.comparison.growth import growth
from hra_cli.comparison.over_seeds import over_seeds
from hra_cli.comparison.plan import NUM_JOBS, Cell, CompareConfig, model_configs
from hra_cli.comparison.table import markdown
from hra_cli.comparison.workers import train_cells
from hra_cli.data.splits import SPLITS
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import MOST_PROCESSES, HraError, check_positive
from hra_cli.experiment.config import changed_options
from hra_cli.io.files import write_text
from hra_cli.io.progress import no_progress
from hra_cli.io.tensors import read_safetensors
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.bootstrap import wer_interval
from hra_cli.scoring.results import write_results
from hra_cli.scoring.wer import ErrorCounts, Utterance, score
from hra_cli.training.selection import as_good_as
from hra_cli.training.step import Diverged
from hra_cli.transducer.loss import check_rnnt_type
from hra_cli.transducer.search import check_method
from hra_cli.transducer.search_options import SearchOptions

CONFIG_NAME = "compare.yaml"
TABLE_NAME = "comparison.md"
TEST_NAME = "test.json"
# Options that may change from one call to the next: they add cells, and change none.
MAY_CHANGE = ("methods", "modes", "lrs", "seeds", "device")


def compare(
    config: CompareConfig,
    exp_dir: Path,
    command: str = "",
    num_jobs: int = NUM_JOBS,
    progress: Optional[Progress] = None,
) -> dict[str, Any]:
    """Trains and tests every method, and returns what `comparison.json` holds.

    num_jobs: cells trained at a time, each with its share of the CPU's cores (or OMP_NUM_THREADS of them). Cells that
    are finished are not trained again, and interrupted ones go on. Raises HraError for what the user can mend.
    """
    progress = progress or no_progress()
    check_method(config.decoding_method)
    check_rnnt_type(config.rnnt_type)
    check_positive(MOST_PROCESSES, num_jobs=num_jobs)
    rows = config.rows()
    threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // num_jobs))
    comparison = _Comparison(config, exp_dir)
    grid = [cell for row in rows for cell in config.grid(*row)]
    comparison.check(grid)
    # Only after the checks, so that a mistake does not bind the folder to its options.
    _keep_config(config, exp_dir)

    train_cells([comparison.write_models(cell) for cell in grid], num_jobs, threads, "learning rates", progress)
    chosen = {row: comparison.best(config.grid(*row)) for row in rows}
    cells = [dataclasses.replace(chosen[row], seed=seed) for row in rows for seed in dict.fromkeys(config.seeds)]
    train_cells([comparison.write_models(cell) for cell in cells], num_jobs, threads, "chosen cells", progress)

    found = write_comparison_file(exp_dir, comparison.scored(cells, command, threads, progress))
    write_text(exp_dir / TABLE_NAME, markdown(found))
    return found


def _keep_config(config: CompareConfig, exp_dir: Path) -> None:
    content = json.loads(json.dumps(dataclasses.asdict(config)))
    file = exp_dir / CONFIG_NAME
    if file.is_file():
        before = yaml.safe_load(file.read_text(encoding="utf-8"))
        changed = changed_options(before, content, MAY_CHANGE)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); compare in a new folder")
    write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


class _Comparison:
    """The cells of one folder."""

    def __init__(self, config: CompareConfig, exp_dir: Path):
        self.config = config
        self.exp_dir = exp_dir
        index = load_tasks(Path(config.data))
        self.tasks = index.select(list(config.tasks) or None)
        cuts = {split: {task: index.cuts(task, split) for task in self.tasks} for split in SPLITS}
        self.test_cuts = cuts["test"]
        self.frozen = load_recogniser(Path(config.backbone), config.backbone_options)

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell's models and results."""
        return self.exp_dir / "cells" / cell.name

    def check(self, grid: Sequence[Cell]) -> None:
        """Raises HraError for a cell that cannot be trained with these options."""
        for cell in grid:
            list(model_configs(self.config, cell, self.tasks))

    def write_models(self, cell: Cell) -> Path:
        """The cell's folder, with the list of its models in it."""
        models = [
            {"folder": str(folder), "config": dataclasses.asdict(model)}
            for folder, model in model_configs(self.config, cell, self.tasks)
        ]
        write_text(self.folder(cell) / MODELS_NAME, json.dumps(models, indent=2) + "\n")
        return self.folder(cell)

    def result(self, cell: Cell) -> dict[str, Any]:
        """What `train_cell` wrote about a cell."""
        found: dict[str, Any] = json.loads((self.folder(cell) / RESULT_NAME).read_text(encoding="utf-8"))
        return found

    def best(self, grid: Sequence[Cell]) -> Cell:
        """The cell with the lowest dev loss, of those that may have the fewest dev errors (`as_good_as`).

        Raises Diverged where none was trained to the end.
        """
        results = {cell: self.result(cell) for cell in grid}
        trained = {cell: _dev(result) for cell, result in results.items() if "models" in result}
        if not trained:
            raise Diverged(f"{grid[0].method}, {grid[0].mode}: {results[grid[0]]['diverged']}")
        enough = as_good_as(min(errors for errors, _ in trained.values()))
        return min((cell for cell in trained if trained[cell][0] <= enough), key=lambda cell: trained[cell][1])

    def scored(self, cells: Sequence[Cell], command: str, threads: int, progress: Progress) -> dict[str, Any]:
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
        return {
            "hra_version": __version__,
            "command": command,
            "config": json.loads(json.dumps(dataclasses.asdict(config))),
            "machine": {"torch": torch.__version__, "python": platform.python_version(), "cpu threads": threads},
            "backbone": {
                "path": config.backbone,
                "fingerprint": backbone.fingerprint,
                "parameters": sum(p.numel() for p in backbone.parameters()),
            },
            "data": config.data,
            "tasks": self.tasks,
            "test": {
                "utterances": len(everything),
                "words": frozen["words"],
                "decoding_method": config.decoding_method,
            },
            "frozen": frozen,
            "cells": scored,
            "over_seeds": over_seeds(self.exp_dir, scored, config.decoding_method),
            "growth": dataclasses.asdict(growth(backbone, config.parsed_methods())),
        }

    def _scored_cell(self, cell: Cell, cuts: dict[str, list[Cut]]) -> dict[str, Any]:
        result = self.result(cell)
        if "diverged" in result:
            raise Diverged(f"{cell.name}: {result['diverged']}")
        models = result["models"]
        tried = [(one, self.result(one)) for one in self.config.grid(cell.method, cell.mode)]
        per_task, shared = models[0]["parameters_per_task"], models[0]["parameters_shared"]
        if cell.mode == "single":
            per_task, shared = per_task + shared, 0
        dev = sum((ErrorCounts(**counts) for model in models for counts in model["dev"].values()), ErrorCounts())
        return {
            "method": cell.method.name,
            "label": cell.method.label,
            "size": cell.method.size,
            "mode": cell.mode,
            "seed": cell.seed,
            "lr": cell.lr,
            "lrs": [
                {"lr": one.lr, **dict(zip(("dev_errors", "dev_loss"), _dev(found)))}
                for one, found in tried
                if "models" in found
            ],
            "parameters_per_task": per_task,
            "parameters_shared": shared,
            "parameters_in_all": per_task * len(self.tasks) + shared,
            "trainable": sum(model["trainable"] for model in models),
            **self._scores(self.folder(cell), lambda: self._decoded_by_task(cell, cuts)),
            "dev": {"wer": round(dev.wer, 2), "errors": dev.errors, "words": dev.words},
            "seconds": round(sum(model["seconds"] for model in models), 1),
            "steps": sum(model["steps"] for model in models),
            "epochs": max(model["epochs"] for model in models),
            "peak_memory_mib": result["peak_memory_mib"],
            "folder": f"cells/{cell.name}",
        }

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

    def _scores(self, folder: Path, decode: Callable[[], list[Utterance]]) -> dict[str, Any]:
        """Test scores: those in the folder, if it has them, or else of what `decode` returns."""
        file = folder / TEST_NAME
        if not file.is_file():
            utterances = decode()
            write_results(folder, "test", self.config.decoding_method, utterances)
            scores, (low, high) = score(utterances), wer_interval(utterances)
            counts = scores.as_json()
            content = {**counts["total"], "low": round(low, 2), "high": round(high, 2), "tasks": counts["tasks"]}
            write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def _dev(result: dict[str, Any]) -> tuple[int, float]:
    models = result["models"]
    return sum(model["dev_errors"] for model in models), round(sum(model["dev_loss"] for model in models), 2)
