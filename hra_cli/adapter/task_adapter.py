"""What every way of adapting has in common: parameters that serve a list of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional, Protocol

import torch
from torch import Tensor, nn

from hra_cli.errors import HraError, did_you_mean


class LayerInfo(Protocol):
    """What an adapter is told of a layer."""

    @property
    def name(self) -> str: ...

    @property
    def downsampling(self) -> int: ...

    @property
    def lens(self) -> Tensor: ...


AfterLayer = Callable[[Tensor, LayerInfo], Tensor]

RELEVANCE = 750.0  # seconds of a task's own speech that count as much as what all tasks say


class TaskAdapter(nn.Module):
    """Parameters that adapt one backbone to tasks; some of them per task, (tasks, …), the others shared."""

    def __init__(self, tasks: Sequence[str]):
        super().__init__()
        self.tasks: list[str] = list(tasks)
        self._rows = {task: row for row, task in enumerate(self.tasks)}

    def for_tasks(self, tasks: Sequence[str]) -> Optional[AfterLayer]:
        """What to give to one `encode` of a batch whose n-th utterance is of task tasks[n].

        Raises HraError for a task that has no head here.
        """
        raise NotImplementedError

    @property
    def parameters_per_task(self) -> int:
        """Numbers that one more task adds."""
        raise NotImplementedError

    @property
    def parameters_shared(self) -> int:
        return sum(p.numel() for p in self.parameters()) - len(self.tasks) * self.parameters_per_task

    def own_weights(self, seconds: Sequence[float]) -> Optional[Tensor]:
        """(tasks,): by how much each task's parameters follow their own gradient, where the rest is that of all tasks.

        seconds: of speech to train on, for each of `tasks`. By default None: they follow their own alone.
        """
        return None

    def matrices(self) -> list[nn.Parameter]:
        """The parameters that are trained as matrices, by Muon: (R, C), or (tasks, R, C). By default none."""
        return []

    def check(self, tasks: Sequence[str]) -> None:
        """Raises HraError where a batch of these tasks cannot be served: a task has no head here."""
        known = set(self.tasks)
        for task in tasks:
            if task not in known:
                raise HraError(f"no head for task '{task}'{did_you_mean(task, known)}")

    def index(self, tasks: Sequence[str]) -> Tensor:
        """(N,): at which row of the parameters per task each utterance has its own."""
        self.check(tasks)
        device = next(self.parameters()).device
        return torch.tensor([self._rows[task] for task in tasks], device=device)


def by_amount(seconds: Sequence[float]) -> Optional[Tensor]:
    """As in MAP adaptation (Gauvain and Lee 1994), a task of n seconds follows its own gradient by n / (n + RELEVANCE).

    What all tasks need is learned from the data of all; a task's own only has to teach what sets it apart. None for one
    task, which has nobody to learn from.
    """
    return torch.tensor([n / (n + RELEVANCE) for n in seconds]) if len(seconds) > 1 else None


def joined(gradients: Tensor, own: Tensor) -> Tensor:
    """gradients (tasks, …), of tasks that the batch lacks 0, and own (tasks,): what each task follows, as large as the
    sum of all would be if those in the batch were like this one."""
    weight = own.to(gradients).view(-1, *[1] * (gradients.dim() - 1))
    there = gradients.flatten(1).any(dim=1).sum()
    return torch.lerp(gradients.sum(0, keepdim=True), there * gradients, weight)
