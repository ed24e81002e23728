"""Training one model of onboarding: held-out tasks, from a few of their utterances."""

from __future__ import annotations

import math
from pathlib import Path

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.location import located
from hra_cli.backbone.model import Backbone, load_backbone
from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import parse_method
from hra_cli.comparison.cell_files import MODEL_NAME, ModelResult, read_result
from hra_cli.comparison.plan import COMMON, CellConfig
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.experiment.config import load_config_as
from hra_cli.io.tensors import read_safetensors, write_safetensors
from hra_cli.nn.memory import peak_memory
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.gradient_sharing import own_gradient
from hra_cli.training.loop import TrainingLoop
from hra_cli.training.run_state import RunState
from hra_cli.training.schedule import ONBOARDING
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.step import Diverged
from hra_cli.training.training_data import few_shots, load_training_data
from hra_cli.training.validation import Validator
from hra_cli.transducer.adapted import AdaptedModel


def train_onboarded(config: CellConfig, cells: Path, folder: Path) -> ModelResult:
    """Trains the model into `folder`; what it starts from is below `cells`. What tasks share stays, if they have more.

    No dev decides anything while it trains: the last epoch is kept, and scored on dev when all is done. Goes on where
    it was interrupted. Raises Diverged, also where what it starts from diverged.
    """
    assert config.shots is not None
    method = parse_method(config.method)
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = load_tokenizer(located(config.backbone))
    data = load_training_data(config, backbone, tokenizer)
    adapted, adapter = new_method(method, backbone, data.tasks, config.seed)
    if config.base is not None:
        learned = _learned(config, cells, backbone)
        adapter.share(learned)
        if config.begin == COMMON:
            adapter.start_from(learned.start_for_others())
    own = [id(parameter) for parameter in adapter.per_task_parameters().values()]
    for parameter in adapter.parameters():
        if own and id(parameter) not in own:
            parameter.requires_grad_(False)
    model = AdaptedModel(adapted, tokenizer, adapter)
    state = RunState(data.digest)
    if config.shots:

        def write(selected: SelectedEpochs, state: RunState) -> None:
            write_safetensors(folder / MODEL_NAME, selected.tensors, {})

        few = few_shots(data, config.shots, config.seed)
        frozen = AdaptedModel(backbone, tokenizer)
        loop = TrainingLoop(config, folder, few, frozen, model, own_gradient, write, schedule=ONBOARDING)
        loop.run()
        state = loop.state
    else:
        write_safetensors(folder / MODEL_NAME, adapter.state_dict(), {})
    dev = Validator(data, config)(model)
    if not all(map(math.isfinite, dev.losses.values())):
        raise Diverged(f"the loss on dev is not finite after step {state.step}; train with a lower --lr")
    return ModelResult(
        tasks=data.tasks,
        parameters_per_task=adapter.parameters_per_task,
        parameters_shared=adapter.parameters_shared,
        trainable=sum(parameter.numel() for parameter in adapter.parameters() if parameter.requires_grad),
        epochs=state.epoch,
        selected_epoch=state.epoch,
        steps=state.step,
        seconds=round(state.seconds, 1),
        dev={task: dev.scores.tasks.get(task, ErrorCounts()) for task in data.tasks},
        dev_errors=dev.scores.total.errors,
        dev_loss=sum(dev.losses.values()),
        peak_memory_mib=round(peak_memory(backbone.device), 1),
    )


def _learned(config: CellConfig, cells: Path, backbone: Backbone) -> TaskAdapter:
    """What was learned from the tasks that are not held out."""
    assert config.base is not None
    diverged = read_result(cells / Path(config.base).parts[0]).diverged
    if diverged is not None:
        raise Diverged(f"trained on the other tasks, {diverged}")
    folder = cells / config.base
    base = load_config_as(CellConfig, folder)
    _, learned = new_method(parse_method(base.method), backbone, base.tasks, base.seed, common=True)
    learned.load_state_dict(read_safetensors(folder / MODEL_NAME)[0])
    return learned
