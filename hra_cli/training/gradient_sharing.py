"""Who follows whose gradient in joint training: policies by name.

A policy says for each task by how much its parameters follow the task's own gradient. The rest is the gradient of all
tasks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import torch
from torch import Tensor

from hra_cli.adapter.task_adapter import TaskAdapter

RELEVANCE = 750.0  # seconds of a task's own speech that count as much as what all tasks say

# Each task's seconds of training speech, to the weight of each task's own gradient, (tasks,), between 0 and 1. None:
# every task follows its own gradient alone.
SharingPolicy = Callable[[Sequence[float]], Optional[Tensor]]


def own_gradient(seconds: Sequence[float]) -> Optional[Tensor]:
    """Every task follows its own gradient alone."""
    return None


def by_amount_of_speech(seconds: Sequence[float]) -> Optional[Tensor]:
    """As in MAP adaptation (Gauvain and Lee 1994), a task of n seconds follows its own gradient by n / (n + RELEVANCE).

    What all tasks need is learned from the data of all; a task's own only has to teach what sets it apart. None for one
    task alone, which has nobody to share with.
    """
    return torch.tensor([n / (n + RELEVANCE) for n in seconds]) if len(seconds) > 1 else None


SHARING: dict[str, SharingPolicy] = {"own": own_gradient, "by-amount": by_amount_of_speech}


def shared_gradient(gradients: Tensor, own_weights: Tensor) -> Tensor:
    """The gradient that each task follows, (tasks, …).

    gradients (tasks, …): each task's own, zero for tasks that the batch lacks. own_weights (tasks,): as a policy gives
    them. Each task follows a mix of its own gradient and the sum over all tasks. Its own is first multiplied by the
    number of tasks in the batch, so that both have about the same size.
    """
    weight = own_weights.to(gradients).view(-1, *[1] * (gradients.dim() - 1))
    in_batch = gradients.flatten(1).any(dim=1).sum()
    return torch.lerp(gradients.sum(0, keepdim=True), in_batch * gradients, weight)


def follow_all_tasks(adapter: TaskAdapter) -> None:
    """Gives what tasks have in common the gradient of all tasks together: that of a task without speech of its own.

    In MAP adaptation that is the prior. To the tasks' own parameters it makes no difference.
    """
    per_task = adapter.per_task_parameters()
    for name, common in adapter.common_parameters().items():
        gradient = per_task[name].grad
        if gradient is not None:
            common.grad = gradient.sum(0, keepdim=True)
