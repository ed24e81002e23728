"""Training the models of one cell; in a process of its own, so that its peak memory is the method's."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from itertools import chain
from pathlib import Path

from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import parse_method
from hra_cli.comparison.cell_files import (
    MODEL_NAME,
    RESULT_NAME,
    CellResult,
    ModelResult,
    read_models,
    write_result,
)
from hra_cli.comparison.onboard_model import train_onboarded
from hra_cli.comparison.plan import ALIKE, CellConfig
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import load_batches
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.experiment.config import CONFIG_NAME, load_config_as
from hra_cli.io.files import remove_leftovers
from hra_cli.io.lock import one_writer
from hra_cli.io.tensors import write_safetensors
from hra_cli.nn.memory import peak_memory
from hra_cli.training.gradient_sharing import SHARING
from hra_cli.training.loop import TrainingLoop
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.step import Diverged
from hra_cli.training.training_data import load_training_data
from hra_cli.transducer.adapted import AdaptedModel

TIMED_STEPS = 4  # at least, to turn a budget into epochs
ORPHAN_SECONDS = 20.0  # to wait for the cell of a comparison that was killed, which ends soon after it
TIMED_SHARE = 0.1  # of the budget, at most, where that is more than these steps


def cell_loop(config: CellConfig, folder: Path) -> TrainingLoop:
    """The run that trains one model of one method, and writes it as of the selected epoch to model.safetensors.

    Raises HraError for a backbone, data or options that cannot be used.
    """
    method = parse_method(config.method)
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = load_tokenizer(located(config.backbone))
    data = load_training_data(config, backbone, tokenizer)
    for_others = config.begin == ALIKE  # what tasks that are held out start from is learned too
    adapted, adapter = new_method(method, backbone, data.tasks, config.seed, common=for_others)
    if for_others:
        adapter.start_alike()

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
        timed_batches = chain(load_batches(plan[:1]), *(load_batches(plan) for _ in range(TIMED_STEPS)))
        for number, batch in enumerate(timed_batches):
            started = time.monotonic()
            loop.step(batch, number, config.lr * loop.schedule.learning_rate_factor(0.0))
            seconds.append(time.monotonic() - started)
            timed = seconds[1:]
            if len(timed) >= TIMED_STEPS and (len(timed) >= len(plan) or sum(timed) >= at_most):
                break
    return len(plan) * sum(timed) / len(timed)


def _result(loop: TrainingLoop) -> ModelResult:
    selected, tasks = loop.selected.by_task, loop.data.tasks
    one_for_all = selected[tasks[0]]
    return ModelResult(
        tasks=tasks,
        parameters_per_task=loop.adapter.parameters_per_task,
        parameters_shared=loop.adapter.parameters_shared,
        trainable=sum(p.numel() for p in loop.step.trained),
        epochs=loop.config.num_epochs,
        selected_epoch=one_for_all.epoch,
        steps=loop.state.step,
        seconds=round(loop.state.seconds, 1),
        dev={task: selected[task].scores for task in tasks},
        dev_errors=sum(selected[task].scores.errors for task in tasks),
        dev_loss=one_for_all.loss,
        peak_memory_mib=round(peak_memory(loop.model.backbone.device), 1),
    )


def train_cell(folder: Path) -> None:
    """Trains the models that `models.json` lists and writes `result.json`; goes on where it was interrupted.

    Raises HraError for what the user can mend. A loss that diverges is a result, not an error.
    """
    with one_writer(folder, ORPHAN_SECONDS):
        if not (folder / RESULT_NAME).exists():
            remove_leftovers(folder)
            write_result(folder, _train_models(folder))
        for checkpoint in folder.rglob(CHECKPOINT_NAME):
            shutil.rmtree(checkpoint.parent, ignore_errors=True)


def _train_models(folder: Path) -> CellResult:
    models = []
    try:
        for model in read_models(folder):
            if model.config.shots is None:
                models.append(_train_model(model.config, folder / model.folder))
            else:
                models.append(train_onboarded(model.config, folder.parent, folder / model.folder))
    except Diverged as error:
        return CellResult(diverged=str(error))
    return CellResult(models, max(model.peak_memory_mib for model in models))


def _train_model(config: CellConfig, folder: Path) -> ModelResult:
    if (folder / CONFIG_NAME).exists():
        config = load_config_as(CellConfig, folder)
    elif config.budget_seconds is not None:
        epoch = seconds_per_epoch(config, TIMED_SHARE * config.budget_seconds)
        config = dataclasses.replace(config, num_epochs=max(1, round(config.budget_seconds / epoch)))
    loop = cell_loop(config, folder)
    loop.run()
    return _result(loop)
