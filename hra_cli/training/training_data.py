"""What a run trains and validates on: the cuts that the loss can be computed for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import compute_num_frames

from hra_cli.backbone.model import Backbone
from hra_cli.data.batches import decoding_batches
from hra_cli.data.features import FRAME_SHIFT, SAMPLING_RATE
from hra_cli.data.skipped import Skipped
from hra_cli.data.task_index import TaskIndex, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.data.transcripts import advice, unwritable
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.transducer.loss import fits


@dataclass(frozen=True)
class TrainingData:
    """tasks: in the order of the adapter's rows. train: cuts. dev: cuts in batches, longest first.
    skipped: what cannot be used. utterances, seconds: of speech to train on, by task. digest: SHA-256 of `train`."""

    tasks: list[str]
    train: CutSet
    dev: list[CutSet]
    skipped: list[Skipped]
    utterances: dict[str, int]
    seconds: dict[str, float]
    digest: str


def load_training_data(config: TrainConfig, backbone: Backbone, tokenizer: Tokenizer) -> TrainingData:
    """The train and dev cuts of the tasks that `config` names. Raises HraError for a task that has none to train on."""
    index = load_tasks(Path(config.data))
    tasks = index.select(list(config.tasks) or None)
    skipped: list[Skipped] = []
    there = _cuts_of(index, tasks, "train")
    train = _usable(there, backbone, tokenizer, skipped)
    dev = _usable(_cuts_of(index, tasks, "dev"), backbone, tokenizer, skipped)
    utterances = Counter(cut.custom["task"] for cut in train)
    seconds = dict.fromkeys(tasks, 0.0)
    for cut in train:
        seconds[cut.custom["task"]] += cut.duration
    for task in tasks:
        if task not in utterances:
            raise HraError(_why_not(task, config.data, there, skipped))
    # Without gradients, batches twice as long fit into memory.
    dev_batches = decoding_batches(dev, 2 * config.max_duration)
    return TrainingData(tasks, train, dev_batches, skipped, dict(utterances), seconds, _digest(train))


def nothing_to_train_on(config: TrainConfig, backbone: Backbone, tokenizer: Tokenizer) -> dict[str, str]:
    """The tasks that `config` names that have no utterance to train on, and why; `load_training_data` refuses them."""
    index = load_tasks(Path(config.data))
    tasks = index.select(list(config.tasks) or None)
    skipped: list[Skipped] = []
    there = _cuts_of(index, tasks, "train")
    able = {cut.custom["task"] for cut in _usable(there, backbone, tokenizer, skipped)}
    return {task: _why_not(task, config.data, there, skipped) for task in tasks if task not in able}


def few_of(data: TrainingData, utterances: int, seed: int) -> TrainingData:
    """So many utterances of each task to train on, and nothing to validate on.

    A task's are the first of all of its own, shuffled by the seed: fewer are among more, whatever the other tasks are.
    Raises HraError for a task that has fewer.
    """
    train: list[Cut] = []
    for task in data.tasks:
        own = sorted((cut for cut in data.train if cut.custom["task"] == task), key=lambda cut: cut.id)
        if len(own) < utterances:
            raise HraError(f"task '{task}' has {len(own)} utterances to train on, not {utterances}")
        Random(f"{seed} {task}").shuffle(own)
        train += own[:utterances]
    seconds = {task: sum(cut.duration for cut in train if cut.custom["task"] == task) for task in data.tasks}
    cuts = CutSet.from_cuts(train)
    return dataclasses.replace(
        data,
        train=cuts,
        dev=[],
        skipped=[],
        utterances=dict.fromkeys(data.tasks, utterances),
        seconds=seconds,
        digest=_digest(cuts),
    )


def _cuts_of(index: TaskIndex, tasks: list[str], split: str) -> list[Cut]:
    return [cut for task in tasks if split in index.splits(task) for cut in index.cuts(task, split)]


def _usable(cuts: list[Cut], backbone: Backbone, tokenizer: Tokenizer, skipped: list[Skipped]) -> CutSet:
    usable = []
    for cut in cuts:
        text = cut.supervisions[0].text
        tokens = len(tokenizer.encode(text))
        frames = backbone.num_frames(compute_num_frames(cut.duration, FRAME_SHIFT, SAMPLING_RATE))
        problem = unwritable(cut.id, text, tokenizer)
        if problem is not None:
            skipped.append(problem)
        elif not fits(frames, tokens):
            skipped.append(Skipped(cut.id, "fewer encoder frames than tokens", f"{frames} < {tokens}"))
        else:
            usable.append(cut)
    return CutSet.from_cuts(usable)


def _why_not(task: str, data: str, cuts: list[Cut], skipped: list[Skipped]) -> str:
    members = {cut.id for cut in cuts if cut.custom["task"] == task}
    reasons = Counter(one.reason for one in skipped if one.id in members)
    counts = "".join(f", {count} × {reason}" for reason, count in sorted(reasons.items()))
    remedy = advice(reasons, len(members)) or "train others with --task"
    return f"task '{task}' has no utterance to train on in {data}{counts}; {remedy}"


def _digest(cuts: CutSet) -> str:
    """SHA-256 (hex) of the cuts' ids, durations and texts, in order."""
    digest = hashlib.sha256()
    for cut in cuts:
        digest.update(f"{cut.id}\t{cut.duration}\t{cut.supervisions[0].text}\n".encode())
    return digest.hexdigest()
