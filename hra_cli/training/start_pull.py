"""What a task's speech is too little to say stays as its start says it: a pull of onboarded heads towards their start.

A step of Muon is as long for five utterances as for five hundred, so without it few are soon learned by heart. Larger
heads are pulled more strongly (`HeadBank.pull_scale`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hra_cli.adapter.task_adapter import TaskAdapter

STRENGTH = 60.0  # of the way to the start that a task without speech goes back in a step, in learning rates
RELEVANCE = 5.0  # seconds of a task's own speech that halve it


def strength_of_pull(seconds: Sequence[float]) -> Tensor:
    """For each task's seconds of training speech, how far a step pulls its parameters back, in learning rates (tasks,).

    As in MAP adaptation: STRENGTH · RELEVANCE / (n + RELEVANCE) for n seconds.
    """
    return torch.tensor([STRENGTH * RELEVANCE / (n + RELEVANCE) for n in seconds])


@torch.no_grad()
def pull_to_start(adapter: TaskAdapter, strength: Tensor, lr: float) -> None:
    """After a step at the learning rate `lr`: moves the parameters of the tasks in the batch towards their start.

    strength (tasks,): as `strength_of_pull` gives it, to be multiplied by the adapter's `pull_scale`. Parameters that
    began untrained, and tasks that the batch lacks, stay where they are.
    """
    step = adapter.pull_scale * lr
    for name, parameter in adapter.per_task_parameters().items():
        if name not in adapter.start or parameter.grad is None:
            continue
        rows = parameter.grad.flatten(1).any(dim=1).nonzero().squeeze(1)
        share = (step * strength.to(parameter)[rows]).clamp(max=1.0).view(-1, *[1] * (parameter.dim() - 1))
        own = parameter[rows]
        parameter[rows] = own + share * (adapter.start[name].to(parameter) - own)
