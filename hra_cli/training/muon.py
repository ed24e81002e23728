"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

It steps along the momentum with all its singular values brought close to one. So a matrix moves alike in every
direction, and not mostly in the few that dominate its gradient. torch has a Muon too, but only in versions that k2 does
not support yet, and for one matrix at a time.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.training.gradient_sharing import shared_gradient

WEIGHT_DECAY = 0.01
MOMENTUM = 0.95
STEPS = 5  # iterations of Newton and Schulz's method
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients, Jordan's: they bring singular values to between 0.7 and 1.2
# Root mean square of an element's step, in learning rates (Liu et al. 2025, arXiv 2502.16982).
AS_LARGE_AS_ADAMW = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for parameter groups with the key `per_task`: False for matrices (R, C) or (1, R, C) that no task has as its
    own, True for (tasks, R, C), a matrix per task.

    Gradients are scaled to norm 1 before they enter the momentum, so that every batch counts the same.

    own_weights (tasks,): as a policy of gradient sharing gives them. With them, all tasks that the batch lacks move by
    one common step, from the gradient of all tasks together. Without them, tasks that the batch lacks stay where they
    are: a step of Muon does not shrink with the momentum, so they would go on in the direction of an earlier batch.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, own_weights: Optional[Tensor] = None):
        super().__init__(groups, {"lr": lr})
        self.own_weights = own_weights

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["per_task"])

    def _update(self, parameter: nn.Parameter, gradient: Tensor, lr: float, per_task: bool) -> None:
        # A matrix that tasks share moves like that of a single task.
        matrices = parameter if parameter.dim() == 3 else parameter.unsqueeze(0)
        gradient = gradient.reshape(matrices.shape)
        rows = gradient.flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return
        state = self.state[parameter]
        sharing = self.own_weights is not None and per_task
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
            if sharing:
                state["common"] = torch.zeros_like(matrices[:1])
        momentum = state["momentum"].view(matrices.shape)
        length = lr * AS_LARGE_AS_ADAMW * max(matrices.shape[1:]) ** 0.5
        decay = 1 - lr * WEIGHT_DECAY
        if sharing:
            steps = self._steps_shared(gradient[rows], rows, momentum, state["common"])
            matrices.mul_(decay).sub_(length * steps[:1])
            matrices.index_add_(0, rows, steps[1:] - steps[:1], alpha=-length)
        else:
            matrices[rows] = decay * matrices[rows] - length * self._steps_alone(gradient[rows], rows, momentum)

    def _steps_alone(self, gradient: Tensor, rows: Tensor, momentum: Tensor) -> Tensor:
        """A step for each matrix with a gradient, (len(rows), R, C), from the moving average of its own gradients."""
        gradient = of_norm_one(gradient)
        momentum[rows] = momentum[rows].lerp(gradient, 1 - MOMENTUM)
        return orthogonal(gradient.lerp(momentum[rows], MOMENTUM))

    def _steps_shared(self, gradient: Tensor, rows: Tensor, momentum: Tensor, common: Tensor) -> Tensor:
        """The common step, then a step for each task in the batch: (1 + len(rows), R, C).

        A task's momentum is `common` + its row of `momentum`, in which it differs from the others. That row fades while
        batches lack the task.
        """
        assert self.own_weights is not None
        everyones = of_norm_one(gradient.sum(0, keepdim=True))
        own_weights = self.own_weights.to(rows.device)[rows]
        differs = of_norm_one(shared_gradient(gradient, own_weights)) - everyones
        common.lerp_(everyones, 1 - MOMENTUM)
        momentum.mul_(MOMENTUM).index_add_(0, rows, differs, alpha=1 - MOMENTUM)
        direction = everyones.lerp(common, MOMENTUM)
        return orthogonal(torch.cat([direction, direction + differs.lerp(momentum[rows], MOMENTUM)]))


def of_norm_one(matrices: Tensor) -> Tensor:
    """matrices (N, R, C), each scaled to Frobenius norm 1."""
    return F.normalize(matrices.flatten(1)).view_as(matrices)


def orthogonal(matrices: Tensor) -> Tensor:
    """matrices (N, R, C), each with its singular values brought close to one, by Newton and Schulz's iteration."""
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x
