"""The training loop: steps, dev scores, checkpoints. What is trained, and what is written of it, is the subclass's."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import torch
from lhotse import CutSet
from lhotse.utils import compute_num_frames
from rich.progress import Progress as ProgressBar
from torch import Tensor

from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.backbone.frontend_cache import FrontendCache
from hra_cli.backbone.model import load_backbone
from hra_cli.data.batches import Batch, decoding_batches, load_batches, training_batches
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.data.task_index import TaskIndex, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig, save_config
from hra_cli.io.progress import no_progress
from hra_cli.scoring.wer import ErrorCounts, Scores, Utterance, score
from hra_cli.training.augment import Augment
from hra_cli.training.interrupt import StopRequest
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.recorder import RunLog
from hra_cli.training.run_state import Checkpoint, Progress, load_checkpoint, restore, save_checkpoint
from hra_cli.training.selection import KeptEpochs
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.loss import Loss, check_loss, check_rnnt_type, fits, pruned_loss
from hra_cli.transducer.search import search

SAVE_EVERY = 50  # steps between checkpoints
LOG_EVERY = 10  # steps between records of the training loss
WARM_UP = 0.25  # of the run, in which the learning rate rises
GRADIENT_NORM = 1.0  # to which gradients are clipped
FRONTEND_NAME = "frontend"  # the folder of --cache-frontend
FRAME_SHIFT = 0.01  # seconds


class Diverged(HraError):
    """The loss or its gradient is no number any more."""


class TrainingLoop:
    """One training run; `run` does it.

    A subclass says what is trained (`_new_recogniser`: its adapter's parameters that require gradients) and what is
    written of the kept epochs (`_write_files`).
    """

    def __init__(self, config: TrainConfig, exp_dir: Path):
        check_rnnt_type(config.rnnt_type)
        check_loss(config.loss)
        self.config = config
        self.exp_dir = exp_dir
        index = load_tasks(Path(config.data))
        self.tasks = index.select(list(config.tasks) or None)
        self.backbone = load_backbone(config.backbone, config.backbone_options)
        self.tokenizer = Tokenizer(find_bpe_model(Path(config.backbone)))
        self.frozen = AdaptedModel(self.backbone, self.tokenizer)
        self.recogniser = self._new_recogniser()
        assert self.recogniser.adapter is not None
        self.adapter = self.recogniser.adapter
        if config.cache_frontend:
            if self.recogniser.backbone is not self.backbone:
                raise HraError("--cache-frontend is for methods that leave the recogniser as it is; leave it out")
            cache = FrontendCache(exp_dir / FRONTEND_NAME, self.backbone)
            self.frozen.frontend_cache = self.recogniser.frontend_cache = cache
        self.skipped: list[Skipped] = []
        self.train_cuts = self._usable(_cuts_of(index, self.tasks, "train"))
        self.dev_plan = decoding_batches(self._usable(_cuts_of(index, self.tasks, "dev")), 2 * config.max_duration)
        self.utterances = Counter(cut.custom["task"] for cut in self.train_cuts)
        seconds = dict.fromkeys(self.tasks, 0.0)
        for cut in self.train_cuts:
            seconds[cut.custom["task"]] += cut.duration
        for task in self.tasks:
            if task not in self.utterances:
                raise HraError(f"task '{task}' has no utterance to train on in {config.data}; train others with --task")
        self.trained = [parameter for parameter in self.adapter.parameters() if parameter.requires_grad]
        self.optimizers = new_optimizers(self.adapter, config.lr, list(seconds.values()))
        self.augment = Augment() if config.spec_augment else None

        self.progress = Progress(data_digest=_digest(self.train_cuts))
        self.kept = KeptEpochs(self.tasks, each_its_own=config.controller is not None)
        checkpoint = load_checkpoint(exp_dir)
        self.resumed = checkpoint is not None
        if checkpoint is not None:
            self._go_on_from(checkpoint)

    def run(self, progress: Optional[ProgressBar] = None) -> None:
        save_config(self.config, self.exp_dir)
        if self.skipped:
            write_skipped(self.exp_dir / SKIPPED_NAME, self.skipped)
        self.log = RunLog(self.exp_dir, self.progress.step if self.resumed else -1)
        try:
            with StopRequest() as stop:
                self._describe()
                if not self.progress.frozen:
                    self._score_frozen()
                self._train(stop, progress or no_progress())
            shutil.rmtree(self.exp_dir / FRONTEND_NAME, ignore_errors=True)
        finally:
            self.log.close()

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        if checkpoint.progress.data_digest != self.progress.data_digest:
            raise HraError(f"{self.config.data} has changed since {self.exp_dir} was begun; train into a new folder")
        restore(checkpoint, self.adapter, self.optimizers)
        self.progress = checkpoint.progress
        self.kept.by_task, self.kept.tensors = checkpoint.progress.kept, checkpoint.kept

    def _new_recogniser(self) -> AdaptedModel:
        raise NotImplementedError

    def _write_files(self) -> None:
        raise NotImplementedError

    def _usable(self, cuts: list) -> CutSet:
        """Leaves out what the loss cannot be computed for."""
        usable = []
        for cut in cuts:
            text = cut.supervisions[0].text
            tokens = len(self.tokenizer.encode(text))
            frames = self.backbone.num_frames(compute_num_frames(cut.duration, FRAME_SHIFT, SAMPLING_RATE))
            unknown = self.tokenizer.unknown_characters(text)
            if unknown:
                self.skipped.append(Skipped(cut.id, "characters the tokenizer lacks", unknown))
            elif not fits(frames, tokens):
                self.skipped.append(Skipped(cut.id, "fewer encoder frames than tokens", f"{frames} < {tokens}"))
            else:
                usable.append(cut)
        return CutSet.from_cuts(usable)

    def _describe(self) -> None:
        trainable = sum(p.numel() for p in self.trained)
        self.log.say(f"configuration: {self.config}")
        self.log.say(
            f"{'onboarding' if self.config.controller else 'joint training of'} {len(self.tasks)} tasks, "
            f"{len(self.train_cuts)} utterances, {trainable} trainable parameters, "
            f"{sum(p.numel() for p in self.backbone.parameters())} frozen"
        )
        for one in self.skipped:
            self.log.say(f"skipped {one}")
        if self.resumed:
            self.log.say(f"resuming at step {self.progress.step}")

    def _score_frozen(self) -> None:
        scores, losses = self._validate(self.frozen)
        self.progress.frozen = {task: asdict(scores.tasks.get(task, ErrorCounts())) for task in self.tasks}
        self._record_dev(0, scores, losses)
        self._save()

    def _train(self, stop: StopRequest, bar: ProgressBar) -> None:
        task = bar.add_task("training", total=None, note="")
        while self.progress.epoch < self.config.num_epochs:
            plan = training_batches(self.train_cuts, self.config.max_duration, self.config.seed, self.progress.epoch)
            left = (self.config.num_epochs - self.progress.epoch) * len(plan) - self.progress.batch
            bar.update(task, completed=self.progress.step, total=self.progress.step + left)
            started = time.monotonic()
            for batch in load_batches(plan[self.progress.batch :], self.config.num_workers):
                loss = self._step(batch, len(plan))
                self.progress.seconds += time.monotonic() - started
                started = time.monotonic()
                self.progress.batch += 1
                bar.update(
                    task,
                    advance=1,
                    note=f"epoch {self.progress.epoch + 1}/{self.config.num_epochs} loss {loss:.3f}",
                )
                # The last batch of an epoch is saved with the epoch's end, so that its dev scores are there once.
                if self.progress.batch < len(plan) and (stop.asked or self.progress.step % SAVE_EVERY == 0):
                    self._save()
                    self._stop_if(stop)
            self._end_epoch()
            self._stop_if(stop)

    def _stop_if(self, stop: StopRequest) -> None:
        if stop.asked:
            self.log.say(f"interrupted at step {self.progress.step}")
            raise KeyboardInterrupt

    def _step(self, batch: Batch, batches_in_epoch: int) -> float:
        """One update; returns the loss per encoder frame."""
        progress = self.progress
        done = (progress.epoch + progress.batch / batches_in_epoch) / self.config.num_epochs
        lr = self.config.lr * learning_rate_factor(done)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        if self.augment is not None:
            seed = self.config.seed * 1_000_003 + progress.step
            batch.features = self.augment(batch.features, batch.feature_lens, seed)
        encoder_out, lens = self.recogniser.encode(batch)
        tokens = [self.tokenizer.encode(text) for text in batch.texts]
        loss = self._loss(self.recogniser, encoder_out, lens, tokens).sum()
        frames = int(lens.sum())
        value = loss.total.item()
        self._check_finite("loss", value, batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        (loss.total / frames).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained, GRADIENT_NORM).item()
        self._check_finite("gradient's norm", norm, batch)
        for optimizer in self.optimizers:
            optimizer.step()

        progress.step += 1
        progress.loss_sum += value
        progress.loss_frames += frames
        if progress.step % LOG_EVERY == 0:
            self.log.record(
                "train",
                progress.step,
                epoch=progress.epoch + 1,
                loss=value / frames,
                simple_loss=loss.simple.item() / frames,
                pruned_loss=loss.pruned.item() / frames,
                gradient_norm=norm,
                lr=lr,
            )
        return value / frames

    def _check_finite(self, what: str, value: float, batch: Batch) -> None:
        if not math.isfinite(value):
            found = f"the {what} is {value} at step {self.progress.step + 1}, on cuts {', '.join(batch.ids)}"
            self.log.say(found)
            raise Diverged(f"{found}; look at these cuts, or train with a lower --lr into a new folder")

    def _end_epoch(self) -> None:
        progress = self.progress
        train_loss = progress.loss_sum / max(progress.loss_frames, 1)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum, progress.loss_frames = 0.0, 0
        scores, losses = self._validate(self.recogniser)
        self._record_dev(progress.epoch, scores, losses, train_loss)
        self.kept.offer(self.adapter, progress.epoch, progress.step, scores, losses)
        self._write_files()
        self._save()

    def _loss(self, recogniser: AdaptedModel, encoder_out: Tensor, lens: Tensor, tokens: list[list[int]]) -> Loss:
        return pruned_loss(recogniser.backbone, encoder_out, lens, tokens, self.config.rnnt_type, self.config.loss)

    @torch.no_grad()
    def _validate(self, recogniser: AdaptedModel) -> tuple[Scores, dict[str, float]]:
        """Greedy WER on dev, and the loss summed by task."""
        utterances: list[Utterance] = []
        losses = dict.fromkeys(self.tasks, 0.0)
        for batch in load_batches(self.dev_plan, self.config.num_workers):
            encoder_out, lens = recogniser.encode(batch)
            hyps = search("greedy_search", recogniser.backbone, encoder_out, lens)
            utterances += recogniser.utterances(batch, hyps)
            tokens = [self.tokenizer.encode(text) for text in batch.texts]
            loss = self._loss(recogniser, encoder_out, lens, tokens)
            for task, value in zip(batch.tasks, loss.total.tolist()):
                losses[task] += value
        return score(utterances), losses

    def _record_dev(
        self, epoch: int, scores: Scores, losses: dict[str, float], train_loss: Optional[float] = None
    ) -> None:
        wer = {task: counts.wer for task, counts in scores.tasks.items()}
        self.log.record(
            "dev",
            self.progress.step,
            epoch=epoch,
            wer_total=scores.total.wer,
            wer=wer,
            loss=losses,
            **({} if train_loss is None else {"train_loss": train_loss}),
        )
        shown = ", ".join(f"{task} {value:.2f}" for task, value in wer.items())
        trained = "frozen model" if train_loss is None else f"training loss {train_loss:.4f} a frame"
        self.log.say(f"epoch {epoch}: {trained}; dev WER {scores.total.wer:.2f} % ({shown})")

    def _save(self) -> None:
        self.progress.kept = self.kept.by_task
        save_checkpoint(self.exp_dir, self.progress, self.adapter, self.kept.tensors, self.optimizers)


def learning_rate_factor(done: float) -> float:
    """Of the peak, after the fraction `done` of the run: a linear rise, then half a cosine down to nothing."""
    if done < WARM_UP:
        return (done + 0.1 * WARM_UP) / (1.1 * WARM_UP)
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP)))


def _cuts_of(index: TaskIndex, tasks: list[str], split: str) -> list:
    return [cut for task in tasks if split in index.splits(task) for cut in index.cuts(task, split)]


def _digest(cuts: CutSet) -> str:
    """Of what is trained on: ids, durations and texts, in order."""
    digest = hashlib.sha256()
    for cut in cuts:
        digest.update(f"{cut.id}\t{cut.duration}\t{cut.supervisions[0].text}\n".encode())
    return digest.hexdigest()
