"""Training HRA heads on a frozen recogniser."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import torch
from lhotse import CutSet
from lhotse.utils import compute_num_frames
from rich.progress import Progress as ProgressBar

from hra_cli.adapter import Controller, new_adapter
from hra_cli.adapter.head_file import (
    Head,
    controller_fingerprint,
    read_controller,
    write_controller,
    write_head,
)
from hra_cli.backbone import load_backbone
from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.data.batches import Batch, decoding_batches, load_batches, training_batches
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.data.tasks import TaskIndex, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.progress import progress_bar
from hra_cli.recogniser import Recogniser
from hra_cli.scoring.tables import BeforeAfter
from hra_cli.scoring.wer import ErrorCounts, Scores, Utterance, score
from hra_cli.training.augment import Augment
from hra_cli.training.best import BestEpochs
from hra_cli.training.checkpoint import Checkpoint, Progress, load_checkpoint, restore, save_checkpoint
from hra_cli.training.config import CONFIG_NAME, TrainConfig, differences, load_config, save_config
from hra_cli.training.interrupt import StopRequest
from hra_cli.training.runlog import RunLog
from hra_cli.transducer.loss import check_rnnt_type, fits, pruned_loss
from hra_cli.transducer.search import SearchOptions, greedy_search

SAVE_EVERY = 50  # steps between checkpoints
LOG_EVERY = 10  # steps between records of the training loss
WARM_UP = 0.05  # of the run, in which the learning rate rises
GRADIENT_NORM = 1.0  # to which gradients are clipped
WEIGHT_DECAY = 0.01
FRAME_SHIFT = 0.01  # seconds


@dataclass
class TrainResult:
    """rows: WER on dev before and after, per task. skipped: utterances that could not be trained on."""

    rows: list[BeforeAfter]
    controller_parameters: int
    best_epochs: dict[str, int]
    num_epochs: int
    skipped: list[Skipped]


def train(config: TrainConfig, exp_dir: Path, resume: bool = False) -> TrainResult:
    """Trains the heads that `config` asks for into `exp_dir`.

    With `resume` an interrupted run goes on from its last checkpoint, to the result it would have had; a
    finished one is only reported. Raises HraError for what the user can mend, KeyboardInterrupt after having
    saved a checkpoint when asked to stop.
    """
    _check_folder(exp_dir, config, resume)
    return Trainer(config, exp_dir).run()


def _check_folder(exp_dir: Path, config: TrainConfig, resume: bool) -> None:
    if (exp_dir / CONFIG_NAME).is_file():
        if not resume:
            raise HraError(f"{exp_dir} already holds an experiment; go on with --resume, or choose another --exp-dir")
        changed = differences(load_config(exp_dir), config)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); resume it with its own")


class Trainer:
    """One training run; `run` does it."""

    def __init__(self, config: TrainConfig, exp_dir: Path):
        check_rnnt_type(config.rnnt_type)
        self.config = config
        self.exp_dir = exp_dir
        index = load_tasks(Path(config.data))
        self.tasks = index.select(list(config.tasks) or None)
        self.backbone = load_backbone(
            config.backbone,
            pos_head_dim=config.pos_head_dim,
            chunk_size=config.chunk_size,
            left_context_frames=config.left_context_frames,
        )
        self.tokenizer = Tokenizer(find_bpe_model(Path(config.backbone)))
        self.frozen = Recogniser(self.backbone, self.tokenizer)
        controller = self._controller()
        self.adapter = new_adapter(
            self.tasks, self.backbone.width, config.hidden, config.head, config.inner, config.seed, controller
        )
        self.recogniser = Recogniser(self.backbone, self.tokenizer, self.adapter)
        self.onboarding = controller is not None
        self.skipped: list[Skipped] = []
        self.train_cuts = self._usable(_cuts_of(index, self.tasks, "train"))
        self.dev_plan = decoding_batches(self._usable(_cuts_of(index, self.tasks, "dev")), 2 * config.max_duration)
        self.utterances = Counter(cut.custom["task"] for cut in self.train_cuts)
        for task in self.tasks:
            if task not in self.utterances:
                raise HraError(f"task '{task}' has no utterance to train on in {config.data}; train others with --task")
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.adapter.parameters() if parameter.requires_grad],
            lr=config.lr,
            weight_decay=WEIGHT_DECAY,
        )
        self.augment = Augment() if config.spec_augment else None

        self.progress = Progress(data_digest=_digest(self.train_cuts))
        self.best = BestEpochs(self.tasks, each_its_own=self.onboarding)
        checkpoint = load_checkpoint(exp_dir)
        self.resumed = checkpoint is not None
        if checkpoint is not None:
            self._go_on_from(checkpoint)

    def run(self) -> TrainResult:
        save_config(self.config, self.exp_dir)
        if self.skipped:
            write_skipped(self.exp_dir / SKIPPED_NAME, self.skipped)
        self.log = RunLog(self.exp_dir, self.progress.step if self.resumed else -1)
        try:
            with StopRequest() as stop, progress_bar() as bar:
                self._describe()
                if not self.progress.frozen:
                    self._score_frozen()
                self._train(stop, bar)
        finally:
            self.log.close()
        return self._result()

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        if checkpoint.progress.data_digest != self.progress.data_digest:
            raise HraError(f"{self.config.data} has changed since {self.exp_dir} was begun; train into a new folder")
        restore(checkpoint, self.adapter, self.optimizer)
        self.progress = checkpoint.progress
        self.best.kept, self.best.tensors = checkpoint.progress.best, checkpoint.best

    def _controller(self) -> Optional[Controller]:
        if self.config.controller is None:
            return None
        return read_controller(Path(self.config.controller), self.backbone.fingerprint)

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
        trainable = sum(p.numel() for p in self.adapter.parameters() if p.requires_grad)
        self.log.say(f"configuration: {self.config}")
        self.log.say(
            f"{'onboarding' if self.onboarding else 'joint training of'} {len(self.tasks)} tasks, "
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
            for batch in load_batches(plan[self.progress.batch :], self.config.num_workers):
                loss = self._step(batch, len(plan))
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
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * learning_rate_factor(done)
        if self.augment is not None:
            seed = self.config.seed * 1_000_003 + progress.step
            batch.features = self.augment(batch.features, batch.feature_lens, seed)
        encoder_out, lens = self.recogniser.encode(batch)
        tokens = [self.tokenizer.encode(text) for text in batch.texts]
        loss = pruned_loss(self.backbone, encoder_out, lens, tokens, self.config.rnnt_type).sum()
        frames = int(lens.sum())
        value = loss.total.item()
        self._check_finite("loss", value, batch)
        self.optimizer.zero_grad(set_to_none=True)
        (loss.total / frames).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], GRADIENT_NORM).item()
        self._check_finite("gradient's norm", norm, batch)
        self.optimizer.step()

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
                lr=self.optimizer.param_groups[0]["lr"],
            )
        return value / frames

    def _check_finite(self, what: str, value: float, batch: Batch) -> None:
        if not math.isfinite(value):
            found = f"the {what} is {value} at step {self.progress.step + 1}, on cuts {', '.join(batch.ids)}"
            self.log.say(found)
            raise HraError(f"{found}; look at these cuts, or train with a lower --lr into a new folder")

    def _end_epoch(self) -> None:
        progress = self.progress
        train_loss = progress.loss_sum / max(progress.loss_frames, 1)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum, progress.loss_frames = 0.0, 0
        scores, losses = self._validate(self.recogniser)
        self._record_dev(progress.epoch, scores, losses, train_loss)
        self.best.offer(self.adapter, progress.epoch, progress.step, scores, losses)
        self._write_files()
        self._save()

    @torch.no_grad()
    def _validate(self, recogniser: Recogniser) -> tuple[Scores, dict[str, float]]:
        """Greedy WER on dev, and the loss summed by task."""
        utterances: list[Utterance] = []
        losses = dict.fromkeys(self.tasks, 0.0)
        for batch in load_batches(self.dev_plan, self.config.num_workers):
            encoder_out, lens = recogniser.encode(batch)
            hyps = greedy_search(self.backbone, encoder_out, lens, SearchOptions())
            utterances += recogniser.utterances(batch, hyps)
            tokens = [self.tokenizer.encode(text) for text in batch.texts]
            loss = pruned_loss(self.backbone, encoder_out, lens, tokens, self.config.rnnt_type)
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

    def _write_files(self) -> None:
        """controller.safetensors and heads/ as of the best epochs; the same run always writes the same bytes."""
        best = new_adapter(
            self.tasks,
            self.backbone.width,
            self.adapter.controller.hidden,
            self.config.head,
            self.config.inner,
        )
        best.load_state_dict(self.best.tensors)
        needed = controller_fingerprint(best.controller.tensors())
        write_controller(self.exp_dir / "controller.safetensors", best.controller, self.backbone.fingerprint)
        for number, task in enumerate(self.tasks):
            kept = self.best.kept[task]
            head = Head(
                task=task,
                kind=best.bank.kind,
                width=best.controller.width,
                hidden=best.controller.hidden,
                inner=best.bank.inner,
                backbone_fingerprint=self.backbone.fingerprint,
                controller_fingerprint=needed,
                tokenizer_fingerprint=self.tokenizer.fingerprint,
                tensors=best.bank.tensors(number),
                training={
                    "method": "onboarding" if self.onboarding else "joint",
                    "tasks": len(self.tasks),
                    "utterances": self.utterances[task],
                    "epoch": kept["epoch"],
                    "num_epochs": self.config.num_epochs,
                    "steps": kept["step"],
                    "max_duration": self.config.max_duration,
                    "lr": self.config.lr,
                    "rnnt_type": self.config.rnnt_type,
                    "spec_augment": self.config.spec_augment,
                    "seed": self.config.seed,
                },
                scores={
                    "set": "dev",
                    "wer_before": _wer(self.progress.frozen[task]),
                    "wer_after": _wer(kept["scores"]),
                    "words": kept["scores"]["words"],
                },
            )
            write_head(self.exp_dir / "heads" / f"{task}.safetensors", head)

    def _save(self) -> None:
        self.progress.best = self.best.kept
        save_checkpoint(self.exp_dir, self.progress, self.adapter, self.best.tensors, self.optimizer)

    def _result(self) -> TrainResult:
        rows = [
            BeforeAfter(
                task,
                self.adapter.bank.parameters_per_task,
                ErrorCounts(**self.progress.frozen[task]),
                ErrorCounts(**self.best.kept[task]["scores"]),
            )
            for task in self.tasks
        ]
        return TrainResult(
            rows=rows,
            controller_parameters=sum(p.numel() for p in self.adapter.controller.parameters()),
            best_epochs={task: self.best.kept[task]["epoch"] for task in self.tasks},
            num_epochs=self.config.num_epochs,
            skipped=self.skipped,
        )


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


def _wer(counts: dict[str, int]) -> Optional[float]:
    """Per cent, or None where there were no words to get wrong."""
    return round(ErrorCounts(**counts).wer, 2) if counts["words"] else None
