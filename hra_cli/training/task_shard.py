"""One job of onboarding many tasks: the heads of a shard of tasks, trained as one stream of mixed batches."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.io.documents import read_json
from hra_cli.io.files import write_text
from hra_cli.training.train_heads import train
from hra_cli.training.training_data import NothingToTrainOn

RESULT_NAME = "shard.json"


@dataclass(frozen=True)
class Onboarded:
    """A task that has its head. utterances: trained on. words, wer_before, wer_after: on dev, WER in per cent, None
    without words. epoch: the selected one."""

    task: str
    utterances: int
    words: int
    wer_before: Optional[float]
    wer_after: Optional[float]
    epoch: int


@dataclass(frozen=True)
class ShardResult:
    """The tasks of a shard that have their head, and why the others have none, by task."""

    onboarded: list[Onboarded]
    failed: dict[str, str]


def train_shard(config: TrainConfig, folder: Path) -> None:
    """Trains the heads of `config.tasks` into the experiment folder `folder`, and writes its result there.

    What an earlier worker has done is kept: a finished shard stays as it is, an unfinished one goes on from its
    checkpoint. A task without speech to train on costs the others nothing. Raises HraError where none can be trained
    for another reason.
    """
    if read_shard(folder) is not None:
        return
    onboarded: list[Onboarded] = []
    try:
        result = train(config, folder, resume=True, leave_out=True)
    except NothingToTrainOn as error:  # all of them
        failed = error.reasons
    else:
        failed = result.left_out
        onboarded = [
            Onboarded(
                row.task,
                result.utterances[row.task],
                row.after.words,
                row.before.wer,
                row.after.wer,
                result.selected_epochs[row.task],
            )
            for row in result.rows
        ]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RESULT_NAME, json.dumps(dataclasses.asdict(ShardResult(onboarded, failed)), indent=1) + "\n")


def read_shard(folder: Path) -> Optional[ShardResult]:
    """The result of a shard; None where it is not finished, or the result is damaged, and so to be trained again."""
    if not (folder / RESULT_NAME).is_file():
        return None
    try:
        return read_json(folder / RESULT_NAME, ShardResult, f"delete {folder}, and onboard again")
    except HraError:
        return None
