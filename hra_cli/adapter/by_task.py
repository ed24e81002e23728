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


class ByTask(nn.Module):
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

    def join_gradients(self, done: float) -> None:
        """Called between a backward pass and its update, after the fraction `done` of a run; by default every task's
        parameters follow their own gradient."""

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


def as_one(bank: nn.Module) -> None:
    """Gives every task's parameters, (tasks, …), the sum of all tasks' gradients: equal ones then stay equal."""
    for parameter in bank.parameters():
        if parameter.grad is not None:
            parameter.grad.copy_(parameter.grad.sum(0, keepdim=True).expand_as(parameter.grad))
