"""The optimisers of a run: Muon for what a method names as matrices, AdamW for everything else.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) steps along the momentum with all its singular
values brought close to one, so that a matrix moves in every direction alike and not mostly in the few that dominate its
gradient. torch's own takes matrices one by one, and only in versions that k2 does not support yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.adapter.task_adapter import TaskAdapter, joined

WEIGHT_DECAY = 0.01
MOMENTUM = 0.95
STEPS = 5  # of Newton and Schulz's iteration
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients, Jordan's: they bring singular values to between 0.7 and 1.2
# Root mean square of an element's step, in learning rates (Liu et al. 2025, arXiv 2502.16982).
AS_LARGE_AS_ADAMW = 0.2


def new_optimizers(method: TaskAdapter, lr: float, seconds: Sequence[float]) -> list[torch.optim.Optimizer]:
    """For all of the method's parameters that require gradients.

    seconds: of speech to train on, for each of the method's tasks.
    """
    own = method.own_weights(seconds)
    matrices = [parameter for parameter in method.matrices() if parameter.requires_grad]
    known = {id(parameter) for parameter in matrices}
    others = [p for p in method.parameters() if p.requires_grad and id(p) not in known]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr, own))
    if others:
        optimizers.append(AdamW(others, lr, own))
    return optimizers


class AdamW(torch.optim.AdamW):
    """For vectors (D,), and (tasks, D) of which each task's is one; own (tasks,) is what it is to Muon."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, own: Optional[Tensor] = None):
        super().__init__(parameters, lr=lr, weight_decay=WEIGHT_DECAY)
        self.own = own

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for parameter in (parameter for group in self.param_groups for parameter in group["params"]):
            if self.own is not None and parameter.dim() == 2 and parameter.grad is not None:
                parameter.grad = joined(parameter.grad, self.own)
        super().step()


class Muon(torch.optim.Optimizer):
    """For parameters (R, C), and (tasks, R, C) of which each task's is a matrix of its own.

    Gradients are brought to one size before they enter the momentum, so that every batch counts the same.

    own (tasks,): by how much each task's matrix follows its own gradient, where the rest is that of all tasks. A task
    that the batch lacks moves as all together do, by one step that is computed once for however many. Without `own` it
    is left alone: a step is as large as ever however little is left of the momentum, and would go on in the direction
    of some earlier batch.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, own: Optional[Tensor] = None):
        super().__init__(parameters, {"lr": lr})
        self.own = own

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"])

    def _update(self, parameter: nn.Parameter, gradient: Tensor, lr: float) -> None:
        shape = (-1, *parameter.shape[-2:])
        matrices, gradient = parameter.view(shape), gradient.reshape(shape)
        there = gradient.flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(there):
            return
        state = self.state[parameter]
        sharing = self.own is not None and parameter.dim() == 3
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
            if sharing:
                state["common"] = torch.zeros_like(matrices[:1])
        momentum = state["momentum"].view(shape)
        length = lr * AS_LARGE_AS_ADAMW * max(parameter.shape[-2:]) ** 0.5
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
        assert self.own is not None
        everyones = of_norm_one(gradient.sum(0, keepdim=True))
        differs = of_norm_one(joined(gradient, self.own.to(there.device)[there])) - everyones
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
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x
