"""One training step: a batch to its loss and gradients, and the optimisers' update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import torch

from hra_cli.data.batches import Batch
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.nn.device import gradient_scaler, without_cudnn
from hra_cli.training.augment import Augment
from hra_cli.training.gradient_sharing import follow_all_tasks
from hra_cli.training.processes import Processes
from hra_cli.training.start_pull import pull_to_start
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.loss import check_installed, check_loss, check_rnnt_type, pruned_loss

GRADIENT_NORM = 1.0  # to which gradients are clipped
SMALLEST_SCALE = 1.0  # of the loss in float16; what still overflows at this scale has diverged


class Diverged(HraError):
    """The loss or its gradient is infinite or NaN."""


@dataclass(frozen=True)
class StepResult:
    """total: the loss, summed over the batch; simple, pruned: its parts; frames: encoder frames; gradient_norm: before
    clipping."""

    total: float
    simple: float
    pruned: float
    frames: int
    gradient_norm: float

    @property
    def per_frame(self) -> float:
        """The loss per encoder frame, which is what is minimised."""
        return self.total / self.frames


class TrainingStep:
    """Updates the trained parameters of `model.adapter` by the gradient of one batch at a time.

    pull (tasks,): how strongly each task's parameters are pulled towards their start, as `strength_of_pull` says.
    processes: those that make the same step, each with its part of the batch.
    Raises HraError where the config's rnnt_type or loss is not known, or its chunks do not fit the recogniser.
    """

    def __init__(
        self,
        model: AdaptedModel,
        optimizers: Sequence[torch.optim.Optimizer],
        config: TrainConfig,
        pull: torch.Tensor,
        processes: Optional[Processes] = None,
    ):
        assert model.adapter is not None
        check_rnnt_type(config.rnnt_type)
        check_loss(config.loss)
        check_installed(config.loss)
        for chunking in config.chunk_plan.every_size:
            model.backbone.options_with(chunking)
        self.model = model
        self.adapter = model.adapter
        self.trained = [parameter for parameter in model.adapter.parameters() if parameter.requires_grad]
        self.optimizers = optimizers
        self.config = config
        self.pull = pull
        self.processes = processes or Processes()
        self.augment = Augment() if config.spec_augment else None
        self.scaler = gradient_scaler(config.precision)

    def __call__(self, batch: Batch, number: int, lr: float) -> StepResult:
        """One step on `batch`, or this process's part of it, whose features SpecAugment replaces, at the rate `lr`.

        number: of the step in the run, from 0; with the config's seed it decides what SpecAugment hides, and which
        chunks a causal recogniser sees.
        Raises Diverged where the loss or its gradient is not finite; nothing is updated then.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
        tokens = self.model.tokens(batch)
        frames, longest = self._of_all_parts(batch, tokens)
        sums = self._backward(batch, tokens, longest, number, frames)
        self.processes.add([sums, *self._gradients()])
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, GRADIENT_NORM)
        # Here a step waits for the device; what Muon asks it afterwards is done by then.
        total, simple, pruned, gradient_norm = torch.cat([sums, norm[None]]).tolist()
        self._check_finite(total, gradient_norm, batch, number)
        if math.isfinite(gradient_norm):
            follow_all_tasks(self.adapter)
            for optimizer in self.optimizers:
                self.scaler.step(optimizer)
            self.scaler.update()
            pull_to_start(self.adapter, self.pull, lr)
        else:  # it overflows float16: no optimiser moves, also one whose own gradients are finite
            self.scaler.update(self.scaler.get_scale() / 2)
        return StepResult(total, simple, pruned, frames, gradient_norm)

    def _of_all_parts(self, batch: Batch, tokens: list[list[int]]) -> tuple[int, int]:
        """Encoder frames of the whole batch, and how many tokens its longest utterance has."""
        frames = sum(map(self.model.backbone.num_frames, batch.feature_lens.tolist()))
        by_rank = self.processes.gather_numbers(frames, max(map(len, tokens), default=0))
        every_frames, every_longest = zip(*by_rank)
        return int(sum(every_frames)), int(max(every_longest))

    def _backward(self, batch: Batch, tokens: list[list[int]], longest: int, number: int, frames: int) -> torch.Tensor:
        """The loss summed over the batch, and its parts, (3,); leaves the gradient of the loss over `frames`."""
        config = self.config
        if not batch.ids:  # there are more processes than utterances in the whole batch
            return torch.zeros(3, device=self.model.backbone.device)
        if self.augment is not None:
            seed = config.seed * 1_000_003 + number
            batch.features = self.augment(batch.features, batch.feature_lens, batch.ids, seed)
        encoder_out, lens = self.model.encode(batch, config.chunk_plan.drawn(config.seed, number))
        losses = pruned_loss(self.model.backbone, encoder_out, lens, tokens, config.rnnt_type, config.loss, longest)
        loss = losses.sum()
        with without_cudnn(self.model.backbone.device):  # convolutions have gradients, too
            self.scaler.scale(loss.total / frames).backward()
        return torch.stack([loss.total, loss.simple, loss.pruned]).detach()

    def _gradients(self) -> list[torch.Tensor]:
        """The gradients that several processes add up: zero where this one's part of the batch has none."""
        if self.processes.size == 1:
            return []
        of_no_batch = {id(parameter) for parameter in self.adapter.common_parameters().values()}
        for parameter in self.trained:
            if parameter.grad is None and id(parameter) not in of_no_batch:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.trained if parameter.grad is not None]

    def _check_finite(self, total: float, gradient_norm: float, batch: Batch, number: int) -> None:
        for what, value in (("loss", total), ("gradient's norm", gradient_norm)):
            if math.isfinite(value):
                continue
            if what != "loss" and self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST_SCALE:
                return  # of float16, where a smaller scale of the loss helps
            raise Diverged(
                f"the {what} is {value} at step {number + 1}, on cuts {', '.join(batch.ids)}; "
                "look at these cuts, or train with a lower --lr into a new folder"
            )

    def check_parameters(self, number: int) -> None:
        """Raises Diverged where the step before step `number` left a parameter that is infinite or NaN."""
        if not torch.stack([parameter.isfinite().all() for parameter in self.trained]).all():
            raise Diverged(
                f"the trained parameters are not finite after step {number}; train with a lower --lr into a new folder"
            )

    def state(self) -> dict[str, Any]:
        """What the next step depends on beside the adapter and its optimisers: the scale of the loss in float16."""
        return dict(self.scaler.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` returned."""
        if state:
            self.scaler.load_state_dict(state)
