"""What a run trains and validates on: the cuts that the loss can be computed for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Optional

from lhotse.cut import Cut
from lhotse.utils import compute_num_frames
from rich.progress import Progress

from hra_cli.backbone.model import Backbone
from hra_cli.data.batch_plan import BatchPlan, decoding_batches
from hra_cli.data.cut_table import CutTable
from hra_cli.data.features import FRAME_SHIFT, SAMPLING_RATE
from hra_cli.data.skipped import Skipped
from hra_cli.data.task_index import TaskIndex, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.data.transcripts import advice, unwritable
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.io.progress import counted
from hra_cli.transducer.loss import fits


@dataclass(frozen=True)
class TrainingData:
    """tasks: in the order of the adapter's rows. train: cuts. dev: its batches, longest first. skipped: what cannot be
    used. utterances, seconds: of speech to train on, by task. digest: SHA-256 of `train`. left_out: why other tasks
    have no utterance to train on."""

    tasks: list[str]
    train: CutTable
    dev: BatchPlan
    skipped: list[Skipped]
    utterances: dict[str, int]
    seconds: dict[str, float]
    digest: str
    left_out: dict[str, str] = field(default_factory=dict)


class NothingToTrainOn(HraError):
    """reasons: why a task has no utterance to train on, by task."""

    def __init__(self, reasons: dict[str, str]):
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return next(iter(self.reasons.values()))


def load_training_data(
    config: TrainConfig,
    backbone: Backbone,
    tokenizer: Tokenizer,
    progress: Optional[Progress] = None,
    leave_out: bool = False,
) -> TrainingData:
    """The train and dev cuts of the tasks that `config` names. Raises NothingToTrainOn for tasks that have no utterance
    to train on; with `leave_out` only where none has.

    progress: told of every cut that is read, where there are many.
    """
    index = load_tasks(Path(config.data))
    wanted = index.select(list(config.tasks) or None)
    train = _Usable(index, wanted, "train", backbone, tokenizer, progress)
    without = {task: train.why_not(task) for task in wanted if not train.utterances[task]}
    tasks = [task for task in wanted if task not in without]
    if without and not (leave_out and tasks):
        raise NothingToTrainOn(without)
    dev = _Usable(index, tasks, "dev", backbone, tokenizer, progress)
    # Without gradients, batches twice as long fit into memory.
    dev_batches = decoding_batches(dev.cuts, 2 * config.max_duration)
    skipped = [*train.skipped, *dev.skipped]
    return TrainingData(
        tasks,
        train.cuts,
        dev_batches,
        skipped,
        {task: train.utterances[task] for task in tasks},
        {task: train.seconds[task] for task in tasks},
        train.digest.hexdigest(),
        without,
    )


def few_shots(data: TrainingData, utterances: int, seed: int) -> TrainingData:
    """So many utterances of each task to train on, and nothing to validate on.

    A task's are the first of all of its own, shuffled by the seed: fewer are among more, whatever the other tasks are.
    Raises HraError for a task that has fewer.
    """
    by_task: dict[str, list[Cut]] = {task: [] for task in data.tasks}
    for cut in data.train:
        by_task[cut.custom["task"]].append(cut)
    train: list[Cut] = []
    for task in data.tasks:
        own = sorted(by_task[task], key=lambda cut: cut.id)
        if len(own) < utterances:
            raise HraError(f"task '{task}' has {len(own)} utterances to train on, not {utterances}")
        Random(f"{seed} {task}").shuffle(own)
        train += own[:utterances]
    seconds = {task: sum(cut.duration for cut in train if cut.custom["task"] == task) for task in data.tasks}
    digest = hashlib.sha256()
    for cut in train:
        digest.update(_line(cut))
    return dataclasses.replace(
        data,
        train=CutTable.of(train),
        dev=decoding_batches([], 1.0),
        skipped=[],
        utterances=dict.fromkeys(data.tasks, utterances),
        seconds=seconds,
        digest=digest.hexdigest(),
    )


class _Usable:
    """The cuts of a split of some tasks that the loss can be computed for, and what the rest lacks."""

    def __init__(
        self,
        index: TaskIndex,
        tasks: list[str],
        split: str,
        backbone: Backbone,
        tokenizer: Tokenizer,
        progress: Optional[Progress] = None,
    ):
        self.index = index
        self.cuts = index.empty_table()
        self.skipped: list[Skipped] = []
        self.utterances = dict.fromkeys(tasks, 0)
        self.seconds = dict.fromkeys(tasks, 0.0)
        self.digest = hashlib.sha256()
        self._reasons: dict[str, Counter[str]] = {}
        able = [task for task in tasks if split in index.splits(task)]
        total = sum(index.splits(task)[split].utterances for task in able)
        stored = ((task, *one) for task in able for one in index.stored_cuts(task, split))
        for task, cut, place in counted(stored, progress, f"reading {split}", total):
            problem = _problem(cut, backbone, tokenizer)
            if problem is not None:
                self.skipped.append(problem)
                self._reasons.setdefault(task, Counter())[problem.reason] += 1
                continue
            self.cuts.add(cut, place)
            self.utterances[task] += 1
            self.seconds[task] += cut.duration
            self.digest.update(_line(cut))

    def why_not(self, task: str) -> str:
        """Why a task has no utterance."""
        reasons = self._reasons.get(task, Counter())
        counts = "".join(f", {count} × {reason}" for reason, count in sorted(reasons.items()))
        remedy = advice(reasons, sum(reasons.values())) or "train others with --task"
        return f"task '{task}' has no utterance to train on in {self.index.data_dir}{counts}; {remedy}"


def _problem(cut: Cut, backbone: Backbone, tokenizer: Tokenizer) -> Optional[Skipped]:
    text = cut.supervisions[0].text
    tokens = len(tokenizer.encode(text))
    frames = backbone.num_frames(compute_num_frames(cut.duration, FRAME_SHIFT, SAMPLING_RATE))
    problem = unwritable(cut.id, text, tokenizer)
    if problem is None and not fits(frames, tokens):
        return Skipped(cut.id, "fewer encoder frames than tokens", f"{frames} < {tokens}")
    return problem


def _line(cut: Cut) -> bytes:
    """What of a cut makes it the same data."""
    return f"{cut.id}\t{cut.duration}\t{cut.supervisions[0].text}\n".encode()
