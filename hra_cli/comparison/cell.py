"""Training the models of one cell; in a process of its own, so that its peak memory is the method's."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.backbone.model import load_backbone
from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import parse_method
from hra_cli.comparison.plan import CellConfig
from hra_cli.data.batches import load_batches, training_batches
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.experiment.config import CONFIG_NAME, load_config_as
from hra_cli.io.files import write_text
from hra_cli.io.tensors import write_safetensors
from hra_cli.nn.memory import peak_memory
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.gradient_sharing import SHARING
from hra_cli.training.loop import TrainingLoop
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState
from hra_cli.training.schedule import learning_rate_factor
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.step import Diverged
from hra_cli.training.training_data import load_training_data
from hra_cli.transducer.adapted import AdaptedModel

MODELS_NAME = "models.json"
RESULT_NAME = "result.json"
MODEL_NAME = "model.safetensors"
TIMED_STEPS = 4  # at least, to turn a budget into epochs
TIMED_SHARE = 0.1  # of the budget, at most, where that is more than these steps


def cell_loop(config: CellConfig, folder: Path) -> TrainingLoop:
    """The run that trains one model of one method, and writes it as of the selected epoch to model.safetensors.

    Raises HraError for a backbone, data or options that cannot be used.
    """
    method = parse_method(config.method)
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = Tokenizer(find_bpe_model(Path(config.backbone)))
    data = load_training_data(config, backbone, tokenizer)
    adapted, adapter = new_method(method, backbone, data.tasks, config.seed)

    def write(selected: SelectedEpochs, state: RunState) -> None:
        write_safetensors(folder / MODEL_NAME, selected.tensors, {})

    return TrainingLoop(
        config,
        folder,
        data,
        AdaptedModel(backbone, tokenizer),
        AdaptedModel(adapted, tokenizer, adapter),
        SHARING[method.kind.sharing],
        write,
    )


def seconds_per_epoch(config: CellConfig, at_most: float) -> float:
    """Seconds of training in an epoch, from the time of one epoch, or of its first steps.

    at_most: seconds of measuring, after which the first steps have to do.
    """
    with tempfile.TemporaryDirectory() as scratch:
        loop = cell_loop(config, Path(scratch))
        plan = training_batches(loop.data.train, config.max_duration, config.seed, 0)
        seconds: list[float] = []
        # The first step allocates, and is not counted.
        for number, batch in enumerate(load_batches(plan[:1] + plan * TIMED_STEPS)):
            started = time.monotonic()
            loop.step(batch, number, config.lr * learning_rate_factor(0.0))
            seconds.append(time.monotonic() - started)
            timed = seconds[1:]
            if len(timed) >= TIMED_STEPS and (len(timed) >= len(plan) or sum(timed) >= at_most):
                break
    return len(plan) * sum(timed) / len(timed)


def _result(loop: TrainingLoop) -> dict[str, Any]:
    selected, tasks = loop.selected.by_task, loop.data.tasks
    one_for_all = selected[tasks[0]]
    return {
        "tasks": tasks,
        "parameters_per_task": loop.adapter.parameters_per_task,
        "parameters_shared": loop.adapter.parameters_shared,
        "trainable": sum(p.numel() for p in loop.step.trained),
        "epochs": loop.config.num_epochs,
        "selected_epoch": one_for_all["epoch"],
        "steps": loop.state.step,
        "seconds": round(loop.state.seconds, 1),
        "dev": {task: selected[task]["scores"] for task in tasks},
        "dev_errors": sum(ErrorCounts(**selected[task]["scores"]).errors for task in tasks),
        "dev_loss": one_for_all["loss"],
        "peak_memory_mib": round(peak_memory(loop.model.backbone.device), 1),
    }


def train_cell(folder: Path) -> None:
    """Trains the models that `models.json` lists and writes `result.json`; goes on where it was interrupted.

    Raises HraError for what the user can mend. A loss that diverges is a result, not an error.
    """
    models = []
    try:
        for entry in json.loads((folder / MODELS_NAME).read_text(encoding="utf-8")):
            config = CellConfig(**{**entry["config"], "tasks": tuple(entry["config"]["tasks"])})
            models.append(_train_model(config, folder / entry["folder"]))
        result: dict[str, Any] = {
            "models": models,
            "peak_memory_mib": max(model["peak_memory_mib"] for model in models),
        }
    except Diverged as error:
        result = {"diverged": str(error)}
    write_text(folder / RESULT_NAME, json.dumps(result, indent=2) + "\n")
    for checkpoint in folder.rglob(CHECKPOINT_NAME):
        shutil.rmtree(checkpoint.parent)


def _train_model(config: CellConfig, folder: Path) -> dict[str, Any]:
    if (folder / CONFIG_NAME).is_file():
        config = load_config_as(CellConfig, folder)
    elif config.budget_seconds is not None:
        epoch = seconds_per_epoch(config, TIMED_SHARE * config.budget_seconds)
        config = dataclasses.replace(config, num_epochs=max(1, round(config.budget_seconds / epoch)))
    loop = cell_loop(config, folder)
    loop.run()
    return _result(loop)
