"""metrics.jsonl: what a run measured, a record per line."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Optional, Union

from hra_cli.errors import HraError
from hra_cli.io.documents import check_numbers, parse_json, read_text

METRICS_NAME = "metrics.jsonl"
REMEDY = "delete that line, of which nothing but curves is made"


@dataclass(frozen=True)
class TrainRecord:
    """One training step. Losses are per encoder frame; gradient_norm: before clipping, infinite where float16 ends."""

    kind: Literal["train"]
    step: int
    epoch: int
    loss: float
    simple_loss: float
    pruned_loss: float
    gradient_norm: float
    lr: float

    def __post_init__(self) -> None:
        check_numbers(self, but=("gradient_norm",))


@dataclass(frozen=True)
class DevRecord:
    """What validation found after an epoch; epoch 0 is the frozen model, which has no train_loss.

    wer_total: None without words on dev. wer: of the tasks that have words. loss: by task, summed over its utterances.
    train_loss: the mean of the epoch, per encoder frame.
    """

    kind: Literal["dev"]
    step: int
    epoch: int
    wer_total: Optional[float]
    wer: dict[str, float]
    loss: dict[str, float]
    train_loss: Optional[float] = None

    def __post_init__(self) -> None:
        check_numbers(self)


Record = Union[TrainRecord, DevRecord]


def as_line(record: Record) -> str:
    """The record as metrics.jsonl holds it; a train_loss of None is left out."""
    content = asdict(record)
    if isinstance(record, DevRecord) and record.train_loss is None:
        del content["train_loss"]
    return json.dumps(content) + "\n"


def read_metrics(exp_dir: Path) -> list[Record]:
    """The records of metrics.jsonl, in order; [] where there is none. A last line cut off by a crash is left out.

    Raises HraError for any other line that is damaged.
    """
    file = exp_dir / METRICS_NAME
    if not file.exists():
        return []
    *lines, last = read_text(file, "delete it, only curves are made of it").split("\n")
    records: list[Record] = [_record(line, f"{file}, line {number},") for number, line in enumerate(lines, start=1)]
    if last:
        with contextlib.suppress(HraError):  # cut off
            records.append(_record(last, str(file)))
    return records


def wer_curve(records: list[Record]) -> list[tuple[int, float]]:
    """(step, WER of all tasks on dev in per cent); [] where dev has no words."""
    dev = [record for record in records if isinstance(record, DevRecord)]
    return [(record.step, record.wer_total) for record in dev if record.wer_total is not None]


def loss_curve(records: list[Record]) -> list[tuple[int, float]]:
    """(step, training loss per frame): the means over epochs or, where there are none, single steps."""
    dev = [record for record in records if isinstance(record, DevRecord)]
    epochs = [(record.step, record.train_loss) for record in dev if record.train_loss is not None]
    return epochs or [(record.step, record.loss) for record in records if isinstance(record, TrainRecord)]


def dev_records(exp_dir: Path) -> list[DevRecord]:
    """Those that validation made."""
    return [record for record in read_metrics(exp_dir) if isinstance(record, DevRecord)]


def _record(line: str, what: str) -> Record:
    # Told apart here, so that what is wrong is said of the right kind.
    if '"dev"' in line:
        return parse_json(line, DevRecord, what, REMEDY)
    return parse_json(line, TrainRecord, what, REMEDY)
