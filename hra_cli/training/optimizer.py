"""The optimisers of a run: Muon for what a method names as matrices, AdamW for everything else.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) steps along the momentum with all its singular
values brought close to one, so that a matrix moves in every direction alike and not mostly in the few that dominate its
gradient. torch's own takes matrices one by one, and only in versions that k2 does not support yet.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hra_cli.adapter.by_task import ByTask

WEIGHT_DECAY = 0.01
MOMENTUM = 0.95
STEPS = 5  # of Newton and Schulz's iteration
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients, Jordan's: they bring singular values to between 0.7 and 1.2
# Root mean square of an element's step, in learning rates (Liu et al. 2025, arXiv 2502.16982).
AS_LARGE_AS_ADAMW = 0.2


def new_optimizers(method: ByTask, lr: float) -> list[torch.optim.Optimizer]:
    """For all of the method's parameters that require gradients."""
    matrices = [parameter for parameter in method.matrices() if parameter.requires_grad]
    known = {id(parameter) for parameter in matrices}
    others = [p for p in method.parameters() if p.requires_grad and id(p) not in known]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr))
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=lr, weight_decay=WEIGHT_DECAY))
    return optimizers


class Muon(torch.optim.Optimizer):
    """For parameters (R, C), and (tasks, R, C) of which each task's is a matrix of its own.

    A task of which a batch has no utterance is left alone: a step is as large as ever however little is left of the
    momentum, and would go on in the direction of some earlier batch.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"])

    def _update(self, parameter: nn.Parameter, gradient: Tensor, lr: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        shape = (-1, *parameter.shape[-2:])
        matrices, momentum, gradient = parameter.view(shape), state["momentum"].view(shape), gradient.reshape(shape)
        moved = gradient.flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(moved):
            return
        gradient = gradient[moved]
        momentum[moved] = momentum[moved].lerp(gradient, 1 - MOMENTUM)
        direction = gradient.lerp(momentum[moved], MOMENTUM)
        if (direction == direction[:1]).all():
            direction = direction[:1]  # heads that move as one: thousands of them cost as much as one
        size = AS_LARGE_AS_ADAMW * max(parameter.shape[-2:]) ** 0.5
        matrices[moved] = (1 - lr * WEIGHT_DECAY) * matrices[moved] - lr * size * orthogonal(direction)


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
