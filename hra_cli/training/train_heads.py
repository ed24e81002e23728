"""Training HRA heads on a frozen recogniser."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from rich.progress import Progress
from torch import Tensor

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import (
    Head,
    controller_fingerprint,
    read_controller,
    read_head,
    write_controller,
    write_head,
)
from hra_cli.adapter.head_start import read_start
from hra_cli.backbone.frontend_cache import FrontendCache
from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.skipped import Skipped
from hra_cli.data.task_index import check_task_names
from hra_cli.errors import HraError
from hra_cli.experiment.config import CONFIG_NAME, TrainConfig, differences, load_config
from hra_cli.io.lock import one_writer
from hra_cli.io.tensors import fingerprint
from hra_cli.scoring.wer import BeforeAfter, rounded
from hra_cli.training.gradient_sharing import by_amount_of_speech, own_gradient
from hra_cli.training.loop import TrainingLoop
from hra_cli.training.processes import Processes
from hra_cli.training.run_state import RunState
from hra_cli.training.schedule import LEARNING, ONBOARDING
from hra_cli.training.selection import Selected, SelectedEpochs
from hra_cli.training.training_data import load_training_data
from hra_cli.transducer.adapted import AdaptedModel

FRONTEND_NAME = "frontend"  # the folder of --cache-frontend


@dataclass
class TrainResult:
    """What a run came to. rows: WER on dev before and after, per task. utterances: trained on, by task.
    selected_epochs: by task, of `num_epochs`. skipped: utterances that could not be trained on. left_out: why other
    tasks have nothing to train on."""

    rows: list[BeforeAfter]
    utterances: dict[str, int]
    controller_parameters: int
    selected_epochs: dict[str, int]
    num_epochs: int
    skipped: list[Skipped]
    left_out: dict[str, str]


def train(
    config: TrainConfig,
    exp_dir: Path,
    resume: bool = False,
    progress: Optional[Progress] = None,
    processes: Optional[Processes] = None,
    leave_out: bool = False,
) -> TrainResult:
    """Trains the heads that `config` asks for into `exp_dir`.

    With `resume` an interrupted run goes on from its last checkpoint, to the result it would have had; a
    finished one is only reported. Raises HraError for what the user can mend, also where another process trains into
    `exp_dir`, and KeyboardInterrupt after having saved a checkpoint when asked to stop. `progress` is told of every
    step. processes: those that `together` gives, which all call this; one of them writes. leave_out: tasks that have
    nothing to train on, as long as others have; otherwise they are refused (NothingToTrainOn).
    """
    processes = processes or Processes()
    config = dataclasses.replace(config, device=processes.device(config.device))
    with one_writer(exp_dir) if processes.writes else contextlib.nullcontext():
        _check_folder(exp_dir, config, resume)
        loop = heads_loop(config, exp_dir, processes, progress, leave_out)
        _check_same(loop, processes)
        loop.run(progress)
        processes.wait()
        if processes.writes:
            shutil.rmtree(exp_dir / FRONTEND_NAME, ignore_errors=True)
    return _result(loop)


def heads_loop(
    config: TrainConfig,
    exp_dir: Path,
    processes: Optional[Processes] = None,
    progress: Optional[Progress] = None,
    leave_out: bool = False,
) -> TrainingLoop:
    """The run that trains a controller and heads, or heads on a given controller (onboarding).

    progress: told of the cuts that are read before anything is trained. leave_out: as `train` has it.
    Raises HraError for a backbone, data or controller that cannot be used, and as `TrainingLoop` does.
    """
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = load_tokenizer(located(config.backbone))
    data = load_training_data(config, backbone, tokenizer, progress, leave_out)
    controller = None if config.controller is None else read_controller(Path(config.controller), backbone.fingerprint)
    start = None
    if controller is not None and config.start is not None:
        belongs_to = (backbone.fingerprint, backbone.width, tokenizer.fingerprint)
        start = read_start(Path(config.start), controller, *belongs_to)
    adapter = adapter_to_train(config, data.tasks, backbone.width, controller, start)
    cache = FrontendCache(exp_dir / FRONTEND_NAME, backbone) if config.cache_frontend else None
    # On a frozen controller heads are independent of each other; sharing gradients would change that.
    sharing = by_amount_of_speech if config.controller is None else own_gradient
    model = AdaptedModel(backbone, tokenizer, adapter, cache)
    started_from = None if start is None else fingerprint(start.bank.tensors(0))
    files = _HeadFiles(
        config, exp_dir, adapter, backbone.fingerprint, tokenizer.fingerprint, data.utterances, started_from
    )
    frozen = AdaptedModel(backbone, tokenizer, None, cache)
    schedule = LEARNING if config.controller is None else ONBOARDING
    return TrainingLoop(config, exp_dir, data, frozen, model, sharing, files.write, processes, schedule)


def _check_folder(exp_dir: Path, config: TrainConfig, resume: bool) -> None:
    if (exp_dir / CONFIG_NAME).exists():
        if not resume:
            raise HraError(f"{exp_dir} already holds an experiment; go on with --resume, or choose another --exp-dir")
        changed = differences(load_config(exp_dir), config)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); resume it with its own")


def _check_same(loop: TrainingLoop, processes: Processes) -> None:
    """Raises HraError where processes, which may be on several machines, would not train the same; waits for all."""
    state = loop.state
    start = (loop.model.backbone.fingerprint, loop.data.digest, fingerprint(loop.adapter.state_dict()), state.step)
    if len(set(processes.gather(start))) > 1:
        raise HraError(
            "the processes do not start alike; --backbone, --data and --exp-dir must be folders that all machines see"
        )


def adapter_to_train(
    config: TrainConfig, tasks: Sequence[str], width: int, controller: Optional[Controller], start: Optional[Adapter]
) -> Adapter:
    """The adapter to train: a controller and heads, and where there are several the one for other tasks; or heads on a
    given controller, which start from a given one, if any. Raises HraError where that is of another kind or size."""
    joint = controller is None and len(tasks) > 1
    if joint:
        _check_common_head(config.common_head, tasks)
    adapter = new_adapter(tasks, width, config.hidden, config.head, config.inner, config.seed, controller, common=joint)
    if start is not None:
        begun, bank = start.bank, adapter.bank
        if (begun.kind, begun.sizes) != (bank.kind, bank.sizes):
            raise HraError(
                f"{config.start} is a {begun.kind} head with hidden {begun.sizes.hidden}, inner {begun.sizes.inner}, "
                f"and what starts from it is to be a {bank.kind} head with hidden {bank.sizes.hidden}, inner "
                f"{bank.sizes.inner}; leave out --head and --inner"
            )
        adapter.start_from(start.start_for_others())
    return adapter


def _check_common_head(name: str, tasks: Sequence[str]) -> None:
    if name in tasks:
        raise HraError(
            f"a task of the data is called '{name}', as the head for tasks that have none; "
            "give that one another name with --common-head"
        )
    check_task_names([*tasks, name])


@dataclass(frozen=True)
class _HeadFiles:
    """controller.safetensors and heads/ of an experiment; the same run always writes the same bytes."""

    config: TrainConfig
    exp_dir: Path
    adapter: Adapter
    backbone_fingerprint: str
    tokenizer_fingerprint: str
    utterances: dict[str, int]
    started_from: Optional[str]  # fingerprint of the head that they started from

    def write(self, selected: SelectedEpochs, state: RunState) -> None:
        """Writes the controller and the heads as they were in the selected epochs; those that are there stay."""
        adapter = self._as_of(selected)
        needed = controller_fingerprint(adapter.controller.tensors())
        write_controller(self.exp_dir / "controller.safetensors", adapter.controller, self.backbone_fingerprint)
        sizes = adapter.bank.sizes

        def write(task: str, tensors: dict[str, Tensor], training: dict[str, Any], scores: dict[str, Any]) -> None:
            head = Head(
                task=task,
                kind=adapter.bank.kind,
                width=sizes.width,
                hidden=sizes.hidden,
                inner=sizes.inner,
                backbone_fingerprint=self.backbone_fingerprint,
                controller_fingerprint=needed,
                tokenizer_fingerprint=self.tokenizer_fingerprint,
                tensors=tensors,
                training=training,
                scores=scores,
            )
            file = self.exp_dir / "heads" / f"{task}.safetensors"
            if not _holds(file, head):
                write_head(file, head)

        for row, task in enumerate(adapter.tasks):
            found = selected.by_task[task]
            scores = {
                "set": "dev",
                "wer_before": rounded(state.frozen[task].wer),
                "wer_after": rounded(found.scores.wer),
                "words": found.scores.words,
            }
            write(task, adapter.bank.tensors(row), self._training(self.utterances[task], found), scores)
        if adapter.common is not None:
            found = selected.by_task[adapter.tasks[0]]  # one epoch is selected for all
            training = self._training(sum(self.utterances.values()), found)
            write(self.config.common_head, adapter.common.tensors(0), {"common": True, **training}, {})

    def _training(self, utterances: int, found: Selected) -> dict[str, Any]:
        return {
            **({"start": self.started_from} if self.started_from else {}),
            "method": "onboarding" if self.config.controller else "joint",
            "tasks": len(self.adapter.tasks),
            "utterances": utterances,
            "epoch": found.epoch,
            "num_epochs": self.config.num_epochs,
            "steps": found.step,
            "max_duration": self.config.max_duration,
            "lr": self.config.lr,
            "rnnt_type": self.config.rnnt_type,
            "spec_augment": self.config.spec_augment,
            "seed": self.config.seed,
            **self.config.chunk_plan.as_json(),
        }

    def _as_of(self, selected: SelectedEpochs) -> Adapter:
        sizes, kind, common = self.adapter.bank.sizes, self.adapter.bank.kind, self.adapter.common is not None
        adapter = new_adapter(self.adapter.tasks, sizes.width, sizes.hidden, kind, self.config.inner, common=common)
        adapter.load_state_dict(selected.tensors)
        return adapter


def _holds(file: Path, head: Head) -> bool:
    """Whether the file has this head already."""
    if not file.exists():
        return False
    try:
        found = read_head(file)
    except HraError:  # damaged
        return False
    same = dataclasses.replace(found, tensors={}, other={}) == dataclasses.replace(head, tensors={})
    return same and fingerprint(found.tensors) == fingerprint(head.tensors)


def _result(loop: TrainingLoop) -> TrainResult:
    adapter, selected = loop.adapter, loop.selected.by_task
    rows = [
        BeforeAfter(
            task,
            adapter.parameters_per_task,
            loop.state.frozen[task],
            selected[task].scores,
        )
        for task in adapter.tasks
    ]
    return TrainResult(
        rows=rows,
        utterances=loop.data.utterances,
        controller_parameters=adapter.parameters_shared,
        selected_epochs={task: selected[task].epoch for task in adapter.tasks},
        num_epochs=loop.config.num_epochs,
        skipped=loop.data.skipped,
        left_out=loop.data.left_out,
    )
