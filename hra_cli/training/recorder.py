"""All that a run writes into its experiment folder. Of several processes that train together, one has it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from torch.optim import Optimizer

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.experiment.config import TrainConfig, save_config
from hra_cli.experiment.metrics import METRICS_NAME, DevRecord, Record, TrainRecord, as_line, read_metrics
from hra_cli.io.few_rows import ends_by, few_of
from hra_cli.io.files import remove_leftovers, write_text, writing
from hra_cli.scoring.wer import wer_text
from hra_cli.training.averaging import AveragedParameters
from hra_cli.training.board import Board
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState, save_checkpoint
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.step import StepResult
from hra_cli.training.validation import DevResult

LOG_EVERY = 10  # steps between records of the training loss


# Writes what a run is for, as of the selected epochs.
WriteSelected = Callable[[SelectedEpochs, RunState], None]


class Recorder:
    """config.yaml, skipped.tsv, train.log, metrics.jsonl, TensorBoard, checkpoints, and what the run is for.

    skipped: utterances that are not trained on. step: the last one whose records stay, where an interrupted run goes
    on; -1 for a new run. What a killed run was writing is removed. Raises HraError where something cannot be written.
    """

    def __init__(
        self, exp_dir: Path, config: TrainConfig, skipped: list[Skipped], write_selected: WriteSelected, step: int
    ):
        self.exp_dir = exp_dir
        self.write_selected = write_selected
        self.metrics_file = exp_dir / METRICS_NAME
        self.log_file = exp_dir / "train.log"
        before = [record for record in read_metrics(exp_dir) if record.step <= step]
        for folder in (exp_dir, (exp_dir / CHECKPOINT_NAME).parent, exp_dir / "heads"):
            remove_leftovers(folder)
        save_config(config, exp_dir)
        if skipped:
            write_skipped(exp_dir / SKIPPED_NAME, skipped)
        write_text(self.metrics_file, "".join(map(as_line, before)))
        with writing(self.log_file):
            self.text = open(  # noqa: SIM115 - closed below
                self.log_file, "a", encoding="utf-8", errors="backslashreplace", buffering=1
            )
        self.board = Board(exp_dir / "tensorboard", step + 1)

    def say(self, message: str) -> None:
        """A line of train.log."""
        with writing(self.log_file):
            self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def step(self, state: RunState, result: StepResult, lr: float) -> None:
        """The training loss of every LOG_EVERY-th step."""
        if state.step % LOG_EVERY == 0:
            record = TrainRecord(
                "train",
                state.step,
                epoch=state.epoch + 1,
                loss=result.per_frame,
                simple_loss=result.simple / result.frames,
                pruned_loss=result.pruned / result.frames,
                gradient_norm=result.gradient_norm,
                lr=lr,
            )
            names = ("epoch", "loss", "simple_loss", "pruned_loss", "gradient_norm", "lr")
            self._record(record, {name: getattr(record, name) for name in names})

    def dev(self, state: RunState, result: DevResult, train_loss: Optional[float] = None) -> None:
        """What validation found after an epoch. train_loss: per encoder frame; None for the frozen model."""
        wer = {task: counts.wer for task, counts in result.scores.tasks.items() if counts.wer is not None}
        total = result.scores.total.wer
        record = DevRecord("dev", state.step, state.epoch, total, wer, result.losses, train_loss)
        values: dict[str, Optional[float]] = {"epoch": state.epoch, "wer_total": total, "train_loss": train_loss}
        values.update({f"wer/{task}": one for task, one in wer.items()})
        values.update({f"loss/{task}": one for task, one in result.losses.items()})
        self._record(record, {name: value for name, value in values.items() if value is not None})
        ends = ends_by(list(wer.items()), lambda one: one[1])
        shown = ", ".join(few_of([f"{task} {wer_text(value)}" for task, value in ends], str))
        model = "frozen model" if train_loss is None else f"training loss {train_loss:.4f} a frame"
        scores = "no words on dev" if total is None else f"dev WER {wer_text(total)} % ({shown})"
        self.say(f"epoch {state.epoch}: {model}; {scores}")

    def save(
        self,
        state: RunState,
        adapter: TaskAdapter,
        selected: SelectedEpochs,
        optimizers: Sequence[Optimizer],
        average: AveragedParameters,
    ) -> None:
        """Writes the checkpoint that a stopped run goes on from."""
        save_checkpoint(self.exp_dir, state, adapter, selected.tensors, optimizers, average.tensors)

    def close(self) -> None:
        """Closes the files, in which everything is already."""
        with contextlib.suppress(OSError):
            self.text.close()
        self.board.close()

    def _record(self, record: Record, values: dict[str, float]) -> None:
        """One line of metrics.jsonl. values: what goes to TensorBoard too."""
        with writing(self.metrics_file), open(self.metrics_file, "a", encoding="utf-8") as stream:
            stream.write(as_line(record))
        self.board.add({f"{record.kind}/{name}": value for name, value in values.items()}, record.step)


class NoRecorder:
    """What the other processes have in place of a Recorder: nothing is written."""

    def say(self, message: str) -> None:
        pass

    def step(self, state: RunState, result: StepResult, lr: float) -> None:
        pass

    def dev(self, state: RunState, result: DevResult, train_loss: Optional[float] = None) -> None:
        pass

    def save(
        self,
        state: RunState,
        adapter: TaskAdapter,
        selected: SelectedEpochs,
        optimizers: Sequence[Optimizer],
        average: AveragedParameters,
    ) -> None:
        pass

    def write_selected(self, selected: SelectedEpochs, state: RunState) -> None:
        pass

    def close(self) -> None:
        pass
