"""Training the models of one cell; in a process of its own, so that its peak memory is the method's."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hra_cli.baselines.method_kinds import parse_method
from hra_cli.baselines.methods import new_method
from hra_cli.comparison.plan import CellConfig
from hra_cli.data.batches import load_batches, training_batches
from hra_cli.experiment.config import CONFIG_NAME, load_config_as
from hra_cli.io.files import write_text
from hra_cli.io.tensors import write_safetensors
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.loop import Diverged, TrainingLoop
from hra_cli.training.recorder import RunLog
from hra_cli.training.run_state import CHECKPOINT_NAME
from hra_cli.transducer.adapted import AdaptedModel

MODELS_NAME = "models.json"
RESULT_NAME = "result.json"
MODEL_NAME = "model.safetensors"
TIMED_STEPS = 4  # at least, to turn a budget into epochs
TIMED_SHARE = 0.1  # of the budget, at most, where that is more than these steps
INTERRUPTED = 130  # the exit status after Ctrl-C


class CellTrainer(TrainingLoop):
    """Trains one model of one method; `model.safetensors` is what was trained, as of the kept epoch."""

    config: CellConfig

    def _new_recogniser(self) -> AdaptedModel:
        method = parse_method(self.config.method)
        backbone, adapter = new_method(method, self.backbone, self.tasks, self.config.seed)
        return AdaptedModel(backbone, self.tokenizer, adapter)

    def _write_files(self) -> None:
        write_safetensors(self.exp_dir / MODEL_NAME, self.kept.tensors, {})

    def seconds_per_epoch(self, at_most: float) -> float:
        """From the time of an epoch, or of its first steps if that takes longer than at_most seconds.

        After that this trainer is of no more use.
        """
        plan = training_batches(self.train_cuts, self.config.max_duration, self.config.seed, 0)
        self.log = RunLog(self.exp_dir, -1)
        seconds: list[float] = []
        # The first step allocates, and is not counted.
        for batch in load_batches(plan[:1] + plan * TIMED_STEPS):
            started = time.monotonic()
            self._step(batch, len(plan))
            seconds.append(time.monotonic() - started)
            timed = seconds[1:]
            if len(timed) >= TIMED_STEPS and (len(timed) >= len(plan) or sum(timed) >= at_most):
                break
        self.log.close()
        return len(plan) * sum(timed) / len(timed)

    def result(self) -> dict[str, Any]:
        kept = self.kept.by_task
        one_for_all = kept[self.tasks[0]]
        return {
            "tasks": self.tasks,
            "parameters_per_task": self.adapter.parameters_per_task,
            "parameters_shared": self.adapter.parameters_shared,
            "trainable": sum(p.numel() for p in self.adapter.parameters() if p.requires_grad),
            "epochs": self.config.num_epochs,
            "kept_epoch": one_for_all["epoch"],
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "dev": {task: kept[task]["scores"] for task in self.tasks},
            "dev_errors": sum(ErrorCounts(**kept[task]["scores"]).errors for task in self.tasks),
            "dev_loss": one_for_all["loss"],
        }


def train_cell(folder: Path) -> None:
    """Trains the models that `models.json` lists and writes `result.json`; goes on where it was interrupted."""
    models = []
    try:
        for entry in json.loads((folder / MODELS_NAME).read_text(encoding="utf-8")):
            config = CellConfig(**{**entry["config"], "tasks": tuple(entry["config"]["tasks"])})
            models.append(_train_model(config, folder / entry["folder"]))
        result: dict[str, Any] = {"models": models, "peak_memory_mib": _peak_memory()}
    except Diverged as error:
        result = {"diverged": str(error)}
    write_text(folder / RESULT_NAME, json.dumps(result, indent=2) + "\n")
    for checkpoint in folder.rglob(CHECKPOINT_NAME):
        shutil.rmtree(checkpoint.parent)


def _train_model(config: CellConfig, folder: Path) -> dict[str, Any]:
    if (folder / CONFIG_NAME).is_file():
        config = load_config_as(CellConfig, folder)
    elif config.budget_seconds is not None:
        with tempfile.TemporaryDirectory() as scratch:
            epoch = CellTrainer(config, Path(scratch)).seconds_per_epoch(TIMED_SHARE * config.budget_seconds)
        config = dataclasses.replace(config, num_epochs=max(1, round(config.budget_seconds / epoch)))
    trainer = CellTrainer(config, folder)
    trainer.run()
    return trainer.result()


def _peak_memory() -> float:
    """Resident MiB of this process at its most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
