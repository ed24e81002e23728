"""One training step: a batch to its loss and gradients, and the optimisers' update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hra_cli.data.batches import Batch
from hra_cli.errors import HraError
from hra_cli.experiment.config import TrainConfig
from hra_cli.nn.device import gradient_scaler, without_cudnn
from hra_cli.training.augment import Augment
from hra_cli.training.gradient_sharing import follow_all_tasks
from hra_cli.training.start_pull import pull_to_start
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.loss import Loss, check_installed, check_loss, check_rnnt_type, pruned_loss

GRADIENT_NORM = 1.0  # to which gradients are clipped
SMALLEST_SCALE = 1.0  # of the loss in float16; what still overflows at this scale has diverged


class Diverged(HraError):
    """The loss or its gradient is infinite or NaN."""


@dataclass(frozen=True)
class StepResult:
    """total: the loss, summed over the batch; frames: encoder frames; gradient_norm: before clipping."""

    loss: Loss
    total: float
    frames: int
    gradient_norm: float

    @property
    def per_frame(self) -> float:
        """The loss per encoder frame, which is what is minimised."""
        return self.total / self.frames


class TrainingStep:
    """Updates the trained parameters of `model.adapter` by the gradient of one batch at a time.

    pull (tasks,): how strongly each task's parameters are pulled towards their start, as `strength_of_pull` says.
    Raises HraError where the config's rnnt_type or loss is not known, or its chunks do not fit the recogniser.
    """

    def __init__(
        self,
        model: AdaptedModel,
        optimizers: Sequence[torch.optim.Optimizer],
        config: TrainConfig,
        pull: torch.Tensor,
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
        self.augment = Augment() if config.spec_augment else None
        self.scaler = gradient_scaler(config.precision)

    def __call__(self, batch: Batch, number: int, lr: float) -> StepResult:
        """One step on `batch`, whose features SpecAugment replaces, at the learning rate `lr`.

        number: of the step in the run, from 0; with the config's seed it decides what SpecAugment hides, and which
        chunks a causal recogniser sees.
        Raises Diverged where the loss or its gradient is not finite; nothing is updated then.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
        if self.augment is not None:
            seed = self.config.seed * 1_000_003 + number
            batch.features = self.augment(batch.features, batch.feature_lens, seed)
        encoder_out, lens = self.model.encode(batch, self.config.chunk_plan.drawn(self.config.seed, number))
        loss = batch_loss(self.model, batch, encoder_out, lens, self.config).sum()
        frames = sum(map(self.model.backbone.num_frames, batch.feature_lens.tolist()))
        with without_cudnn(self.model.backbone.device):  # convolutions have gradients, too
            self.scaler.scale(loss.total / frames).backward()
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, GRADIENT_NORM)
        # Here a step waits for the device; what Muon asks it afterwards is done by then.
        total, gradient_norm = torch.stack([loss.total.detach(), norm]).tolist()
        self._check_finite(total, gradient_norm, batch, number)
        if math.isfinite(gradient_norm):
            follow_all_tasks(self.adapter)
            for optimizer in self.optimizers:
                self.scaler.step(optimizer)
            self.scaler.update()
            pull_to_start(self.adapter, self.pull, lr)
        else:  # it overflows float16: no optimiser moves, also one whose own gradients are finite
            self.scaler.update(self.scaler.get_scale() / 2)
        return StepResult(loss, total, frames, gradient_norm)

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


def batch_loss(
    model: AdaptedModel, batch: Batch, encoder_out: torch.Tensor, lens: torch.Tensor, config: TrainConfig
) -> Loss:
    """The loss of every utterance (N,); encoder_out (N, T, C) and lens (N,), as `model.encode` gives them.

    Raises HraError as `pruned_loss` does.
    """
    tokens = [model.tokenizer.encode(text) for text in batch.texts]
    return pruned_loss(model.backbone, encoder_out, lens, tokens, config.rnnt_type, config.loss)
