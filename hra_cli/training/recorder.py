"""All that a run writes into its experiment folder. Of several processes that train together, one has it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.experiment.config import TrainConfig, save_config
from hra_cli.experiment.metrics import METRICS_NAME, read_metrics
from hra_cli.io.files import write_text
from hra_cli.training.run_state import RunState, save_checkpoint
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.step import StepResult
from hra_cli.training.validation import DevResult

LOG_EVERY = 10  # steps between records of the training loss


# Writes what a run is for, as of the selected epochs.
WriteSelected = Callable[[SelectedEpochs, RunState], None]


class Recorder:
    """config.yaml, skipped.tsv, train.log, metrics.jsonl, TensorBoard, checkpoints, and what the run is for.

    skipped: utterances that are not trained on. write_selected: called after every epoch. step: the last one whose
    records stay, where an interrupted run goes on; -1 for a new run.
    """

    def __init__(
        self, exp_dir: Path, config: TrainConfig, skipped: list[Skipped], write_selected: WriteSelected, step: int
    ):
        self.exp_dir = exp_dir
        self.write_selected = write_selected
        self.metrics_file = exp_dir / METRICS_NAME
        save_config(config, exp_dir)
        if skipped:
            write_skipped(exp_dir / SKIPPED_NAME, skipped)
        before = [record for record in read_metrics(exp_dir) if record["step"] <= step]
        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in before))
        self.text = open(exp_dir / "train.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
        self.board = SummaryWriter(str(exp_dir / "tensorboard"), purge_step=step + 1)

    def say(self, message: str) -> None:
        """A line of train.log."""
        self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def step(self, state: RunState, result: StepResult, lr: float) -> None:
        """The training loss of every LOG_EVERY-th step."""
        if state.step % LOG_EVERY == 0:
            self._record(
                "train",
                state.step,
                epoch=state.epoch + 1,
                loss=result.per_frame,
                simple_loss=result.loss.simple.item() / result.frames,
                pruned_loss=result.loss.pruned.item() / result.frames,
                gradient_norm=result.gradient_norm,
                lr=lr,
            )

    def dev(self, state: RunState, result: DevResult, train_loss: Optional[float] = None) -> None:
        """What validation found after an epoch. train_loss: per encoder frame; None for the frozen model."""
        wer = {task: counts.wer for task, counts in result.scores.tasks.items()}
        total = result.scores.total.wer
        trained = {} if train_loss is None else {"train_loss": train_loss}
        self._record("dev", state.step, epoch=state.epoch, wer_total=total, wer=wer, loss=result.losses, **trained)
        shown = ", ".join(f"{task} {value:.2f}" for task, value in wer.items())
        model = "frozen model" if train_loss is None else f"training loss {train_loss:.4f} a frame"
        self.say(f"epoch {state.epoch}: {model}; dev WER {total:.2f} % ({shown})")

    def save(
        self, state: RunState, adapter: TaskAdapter, selected: SelectedEpochs, optimizers: Sequence[Optimizer]
    ) -> None:
        """Writes the checkpoint that a stopped run goes on from."""
        save_checkpoint(self.exp_dir, state, adapter, selected.tensors, optimizers)

    def close(self) -> None:
        """Closes the files."""
        self.text.close()
        self.board.close()

    def _record(self, kind: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl; values, and values in one level of dictionaries, go to TensorBoard too."""
        with open(self.metrics_file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, dict):
                for key, one in value.items():
                    self.board.add_scalar(f"{kind}/{name}/{key}", one, step)
            elif isinstance(value, (int, float)):
                self.board.add_scalar(f"{kind}/{name}", value, step)
