"""What a training run leaves to look at: train.log, metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from hra_cli.experiment.metrics import METRICS_NAME, read_metrics
from hra_cli.io.files import write_text


class RunLog:
    """Appends to the experiment's records; of an interrupted run it keeps those up to `step`, where it goes on."""

    def __init__(self, exp_dir: Path, step: int):
        self.metrics_file = exp_dir / METRICS_NAME
        kept = [record for record in read_metrics(exp_dir) if record["step"] <= step]
        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))
        self.text = open(exp_dir / "train.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
        self.board = SummaryWriter(str(exp_dir / "tensorboard"), purge_step=step + 1)

    def say(self, message: str) -> None:
        self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def record(self, kind: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl; numbers, and numbers in one level of dictionaries, go to TensorBoard too."""
        with open(self.metrics_file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, dict):
                for key, number in value.items():
                    self.board.add_scalar(f"{kind}/{name}/{key}", number, step)
            elif isinstance(value, (int, float)):
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.text.close()
        self.board.close()
