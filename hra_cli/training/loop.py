"""The loop that drives a run: steps, validation, records, checkpoints."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Optional, Union

from rich.progress import Progress

from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import load_batches
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.io.progress import no_progress
from hra_cli.io.tensors import fingerprint
from hra_cli.nn.device import make_repeatable
from hra_cli.nn.memory import peak_memory
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.averaging import AveragedParameters
from hra_cli.training.gradient_sharing import SharingPolicy
from hra_cli.training.interrupt import StopRequest
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.processes import Processes
from hra_cli.training.recorder import NoRecorder, Recorder, WriteSelected
from hra_cli.training.run_state import REMEDY, RunState, check, load_checkpoint, restore
from hra_cli.training.schedule import LEARNING, Schedule
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.start_pull import strength_of_pull
from hra_cli.training.step import Diverged, TrainingStep
from hra_cli.training.training_data import TrainingData
from hra_cli.training.validation import DevResult, Validator
from hra_cli.transducer.adapted import AdaptedModel

NO_DEV = "there are no utterances on dev: no WER, and the last epoch is selected"
SAVE_EVERY = 50  # steps between checkpoints, or more of them where writing takes long:
SAVING_SHARE = 0.05  # of the time, at most, within an epoch


class TrainingLoop:
    """Trains `model.adapter` on `data` into `exp_dir`, for as many epochs as `config` says.

    frozen: the model without an adapter, which is scored first. sharing: how tasks share gradients. write_selected:
    called with the selected epochs and the run's state when the run ends or is asked to stop, to write the heads or the
    model. A run that is killed has what is needed for them in its checkpoint. processes: those that run this loop
    together, each on its part of every batch; one of them writes. schedule: of the learning rate, and what is kept.

    Where `exp_dir` holds a checkpoint the run goes on from it, to the same result as without a break. Raises HraError
    where the checkpoint is damaged or of another run, or the data have changed since. Nothing is written before `run`.
    """

    def __init__(
        self,
        config: TrainConfig,
        exp_dir: Path,
        data: TrainingData,
        frozen: AdaptedModel,
        model: AdaptedModel,
        sharing: SharingPolicy,
        write_selected: WriteSelected,
        processes: Optional[Processes] = None,
        schedule: Schedule = LEARNING,
    ):
        assert model.adapter is not None
        self.config = config
        self.exp_dir = exp_dir
        self.data = data
        self.frozen = frozen
        self.model = model
        self.adapter = model.adapter
        self.write_selected = write_selected
        self.schedule = schedule
        self.optimizers = new_optimizers(self.adapter, config.lr, sharing(list(data.seconds.values())))
        self.processes = processes or Processes()
        pull = strength_of_pull(list(data.seconds.values()))
        self.step = TrainingStep(model, self.optimizers, config, pull, self.processes)
        self.average = AveragedParameters(self.adapter)
        self.validate = Validator(data, config, self.processes)
        self.selected = SelectedEpochs(data.tasks, epoch_per_task=config.controller is not None)
        self.state = RunState(data_digest=data.digest, start=fingerprint(self.adapter.start))
        self.resumed = self._go_on()
        self._next_save = 0.0  # by time.monotonic

    def run(self, progress: Optional[Progress] = None) -> None:
        """Trains to the end, and writes what the run is for; a finished run is left as it is.

        Raises KeyboardInterrupt after having saved a checkpoint, and written what is selected so far, when asked to
        stop, and Diverged where the loss, its gradient or a parameter is not finite.
        """
        make_repeatable(self.model.backbone.device)
        step = self.state.step if self.resumed else -1
        self.recorder: Union[Recorder, NoRecorder] = NoRecorder()
        if self.processes.writes:
            self.recorder = Recorder(self.exp_dir, self.config, self.data.skipped, self.write_selected, step)
        try:
            with StopRequest(once=self.processes.size > 1) as stop:
                self._describe()
                if not self.state.frozen:
                    self._score_frozen()
                self._train(stop, progress or no_progress())
                self.recorder.write_selected(self.selected, self.state)
        except Diverged as error:
            self.recorder.say(str(error))
            raise
        finally:
            self.recorder.close()

    def _go_on(self) -> bool:
        checkpoint = load_checkpoint(self.exp_dir)
        if checkpoint is None:
            return False
        if checkpoint.state.data_digest != self.data.digest:
            raise HraError(f"{self.config.data} has changed since {self.exp_dir} was begun; train into a new folder")
        if checkpoint.state.start != self.state.start:
            raise HraError(f"{self.config.start} has changed since {self.exp_dir} was begun; train into a new folder")
        check(checkpoint, self.data.tasks, self.config.num_epochs, self.schedule.keeps_mean)
        self._check_place(checkpoint.state, checkpoint.file)
        restore(checkpoint, self.adapter, self.optimizers, self.average)
        self.step.restore(checkpoint.state.scaler)
        self.state = checkpoint.state
        self.selected.by_task, self.selected.tensors = checkpoint.state.selected, checkpoint.selected
        return True

    def _check_place(self, state: RunState, file: Path) -> None:
        """Raises HraError for a batch that the epoch does not have, or a scale of the loss that is not asked for."""
        config = self.config
        batches = 1
        if state.batch and state.epoch < config.num_epochs:
            batches = len(training_batches(self.data.train, config.max_duration, config.seed, state.epoch))
        if state.batch >= batches or state.scaler.keys() != self.step.state().keys():
            raise HraError(f"{file} does not go with this run's data and options; {REMEDY}")

    def _describe(self) -> None:
        data, backbone = self.data, self.model.backbone
        self.recorder.say(f"configuration: {self.config}")
        self.recorder.say(
            f"{'onboarding' if self.config.controller else 'joint training of'} {len(data.tasks)} tasks, "
            f"{len(data.train)} utterances, {sum(p.numel() for p in self.step.trained)} trainable parameters, "
            f"{sum(p.numel() for p in self.frozen.backbone.parameters())} frozen, on {backbone.device}"
            + (f", by {self.processes.size} processes" if self.processes.size > 1 else "")
        )
        for one in data.skipped:
            self.recorder.say(f"skipped {one}")
        if not data.dev:
            self.recorder.say(NO_DEV)
        if self.resumed:
            self.recorder.say(f"resuming at step {self.state.step}")

    def _score_frozen(self) -> None:
        found = self.validate(self.frozen)
        self._check_dev(found, "the frozen recogniser's loss on dev is not finite; look at these utterances")
        self.state.frozen = {task: found.scores.tasks.get(task, ErrorCounts()) for task in self.data.tasks}
        self.recorder.dev(self.state, found)
        self._save()

    def _train(self, stop: StopRequest, progress: Progress) -> None:
        config, state = self.config, self.state
        bar = progress.add_task("training", total=None, note="")
        progress.update(bar, completed=state.step, total=state.step)  # what a finished run shows
        while state.epoch < config.num_epochs:
            plan = training_batches(self.data.train, config.max_duration, config.seed, state.epoch)
            left = (config.num_epochs - state.epoch) * len(plan) - state.batch
            progress.update(bar, completed=state.step, total=state.step + left)
            started = time.monotonic()
            own = plan if self.processes.size == 1 else plan.part(self.processes.part)
            for batch in load_batches(own[state.batch :], config.num_workers):
                done = (state.epoch + state.batch / len(plan)) / config.num_epochs
                lr = config.lr * self.schedule.learning_rate_factor(done)
                result = self.step(batch, state.step, lr)
                if self.schedule.averages(done):
                    self.average.add()
                state.step, state.batch = state.step + 1, state.batch + 1
                state.loss_sum += result.total
                state.loss_frames += result.frames
                self.recorder.step(state, result, lr)
                state.seconds += time.monotonic() - started
                started = time.monotonic()
                note = f"epoch {state.epoch + 1}/{config.num_epochs} loss {result.per_frame:.3f}"
                progress.update(bar, advance=1, note=note)
                # After an epoch's last batch, _end_epoch saves, so that the epoch's dev scores are recorded once.
                asked = self.processes.any(stop.asked)
                if state.batch < len(plan) and (asked or self._save_is_due()):
                    self._save()
                    self._stop_if(asked)
            self._end_epoch()
            self._stop_if(self.processes.any(stop.asked))

    def _stop_if(self, asked: bool) -> None:
        if asked:
            if self.selected.by_task:
                self.recorder.write_selected(self.selected, self.state)
            self.recorder.say(f"interrupted at step {self.state.step}")
            raise KeyboardInterrupt

    def _end_epoch(self) -> None:
        state = self.state
        self.step.check_parameters(state.step)
        train_loss = state.loss_sum / max(state.loss_frames, 1)
        state.epoch, state.batch = state.epoch + 1, 0
        state.loss_sum, state.loss_frames = 0.0, 0
        with self.average.in_use():
            found = self.validate(self.model)
            self._check_dev(found, f"the loss on dev is not finite after step {state.step}; train with a lower --lr")
            self.selected.offer(self.adapter, state.epoch, state.step, found)
        self.recorder.dev(state, found, train_loss)
        self.recorder.say(f"peak memory {peak_memory(self.model.backbone.device):.0f} MiB")
        self._save()

    def _check_dev(self, found: DevResult, message: str) -> None:
        wrong = [task for task, loss in found.losses.items() if not math.isfinite(loss)]
        if wrong:
            raise Diverged(f"{message} (of task {wrong[0]})")

    def _save_is_due(self) -> bool:
        """Of thousands of tasks a checkpoint has gigabytes, and the other processes wait while one writes it."""
        return self.state.step % SAVE_EVERY == 0 and time.monotonic() >= self._next_save

    def _save(self) -> None:
        begun = time.monotonic()
        self.state.selected = self.selected.by_task
        self.state.scaler, self.state.averaged = self.step.state(), self.average.steps
        self.recorder.save(self.state, self.adapter, self.selected, self.optimizers, self.average)
        ended = time.monotonic()
        self._next_save = ended + (ended - begun) / SAVING_SHARE
