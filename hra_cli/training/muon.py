"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

It steps along the momentum with all its singular values brought close to one, so that a matrix moves in every direction
alike and not mostly in the few that dominate its gradient. torch's own takes matrices one by one, and only in versions
that k2 does not support yet.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.training.gradient_sharing import shared_gradient

WEIGHT_DECAY = 0.01
MOMENTUM = 0.95
STEPS = 5  # of Newton and Schulz's iteration
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients, Jordan's: they bring singular values to between 0.7 and 1.2
# Root mean square of an element's step, in learning rates (Liu et al. 2025, arXiv 2502.16982).
AS_LARGE_AS_ADAMW = 0.2


class Muon(torch.optim.Optimizer):
    """For parameter groups that say `per_task`: False for matrices (R, C) that tasks share, True for (tasks, R, C), a
    matrix per task.

    Gradients are brought to one size before they enter the momentum, so that every batch counts the same.

    own_weights (tasks,): as a policy of gradient sharing gives them. A task that the batch lacks then moves as all
    together do, by one step that is computed once for however many. Without them it is left alone: a step is as large
    as ever however little is left of the momentum, and would go on in the direction of some earlier batch.
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
        # What tasks share is one matrix, and moves as that of a single task.
        matrices = parameter if per_task else parameter.unsqueeze(0)
        gradient = gradient.reshape(matrices.shape)
        there = gradient.flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(there):
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
            steps = self._steps_shared(gradient[there], there, momentum, state["common"])
            matrices.mul_(decay).sub_(length * steps[:1])
            matrices.index_add_(0, there, steps[1:] - steps[:1], alpha=-length)
        else:
            matrices[there] = decay * matrices[there] - length * self._steps_alone(gradient[there], there, momentum)

    def _steps_alone(self, gradient: Tensor, there: Tensor, momentum: Tensor) -> Tensor:
        """(len(there), R, C): one for each matrix with a gradient, by the average of its own."""
        gradient = of_norm_one(gradient)
        momentum[there] = momentum[there].lerp(gradient, 1 - MOMENTUM)
        return orthogonal(gradient.lerp(momentum[there], MOMENTUM))

    def _steps_shared(self, gradient: Tensor, there: Tensor, momentum: Tensor, common: Tensor) -> Tensor:
        """(1 + len(there), R, C): that of all together, then one for each task in the batch.

        A task's momentum is `common` + `momentum`; the latter, in which it differs, fades while the task is not there.
        """
        assert self.own_weights is not None
        everyones = of_norm_one(gradient.sum(0, keepdim=True))
        own_weights = self.own_weights.to(there.device)[there]
        differs = of_norm_one(shared_gradient(gradient, own_weights)) - everyones
        common.lerp_(everyones, 1 - MOMENTUM)
        momentum.mul_(MOMENTUM).index_add_(0, there, differs, alpha=1 - MOMENTUM)
        direction = everyones.lerp(common, MOMENTUM)
        return orthogonal(torch.cat([direction, direction + differs.lerp(momentum[there], MOMENTUM)]))


def of_norm_one(matrices: Tensor) -> Tensor:
    """(N, R, C): each at Frobenius norm 1."""
    return F.normalize(matrices.flatten(1)).view_as(matrices)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, R, C): each matrix with its singular values brought close to one, by Newton and Schulz's iteration."""
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x
