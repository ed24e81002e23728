"""The optimisers of a run: Muon for the parameters that the adapter names as matrices, AdamW for the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor, nn

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.training.gradient_sharing import shared_gradient
from hra_cli.training.muon import WEIGHT_DECAY, Muon


def new_optimizers(
    adapter: TaskAdapter, lr: float, own_weights: Optional[Tensor] = None
) -> list[torch.optim.Optimizer]:
    """The optimisers of all of the adapter's parameters that require gradients.

    own_weights (tasks,): as a policy of gradient sharing gives them, for the parameters per task.
    """
    if own_weights is not None:
        own_weights = own_weights.to(next(adapter.parameters()).device)
    matrices = {id(parameter) for parameter in adapter.matrices()}
    trained = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
    as_matrices = _groups(adapter, [parameter for parameter in trained if id(parameter) in matrices])
    others = _groups(adapter, [parameter for parameter in trained if id(parameter) not in matrices])
    optimizers: list[torch.optim.Optimizer] = []
    if as_matrices:
        optimizers.append(Muon(as_matrices, lr, own_weights))
    if others:
        optimizers.append(AdamW(others, lr, own_weights))
    return optimizers


def _groups(adapter: TaskAdapter, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """A group of the shared parameters and a group of the parameters per task; empty groups are left out."""
    own = {id(parameter) for parameter in adapter.per_task_parameters().values()}
    groups = [
        {"params": [parameter for parameter in parameters if (id(parameter) in own) == per_task], "per_task": per_task}
        for per_task in (False, True)
    ]
    return [group for group in groups if group["params"]]


class AdamW(torch.optim.AdamW):
    """torch's AdamW, for parameter groups with the key `per_task`: whether every task has its own, (tasks, …).

    own_weights (tasks,): as a policy of gradient sharing gives them.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, own_weights: Optional[Tensor] = None):
        super().__init__(groups, lr=lr, weight_decay=WEIGHT_DECAY)
        self.own_weights = own_weights

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        if self.own_weights is not None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if group["per_task"] and parameter.grad is not None:
                        parameter.grad = shared_gradient(parameter.grad, self.own_weights)
        super().step()
