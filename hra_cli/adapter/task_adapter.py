"""What every way of adapting has in common: parameters that serve a list of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable, Optional, Protocol

import torch
from torch import Tensor, nn

from hra_cli.errors import HraError, did_you_mean
from hra_cli.nn.device import on_device


class LayerInfo(Protocol):
    """What an adapter is told of a layer.

    name: as in the checkpoint. downsampling: frames of 20 ms per frame of the layer. lens (N,): frames of each
    utterance at that rate.
    """

    @property
    def name(self) -> str: ...

    @property
    def downsampling(self) -> int: ...

    @property
    def lens(self) -> Tensor: ...


# x (T, N, C), the output of a layer, to what the next layer sees: the same shape.
AfterLayer = Callable[[Tensor, LayerInfo], Tensor]


class TaskAdapter(nn.Module):
    """Parameters that adapt one backbone to tasks; some of them per task, the others shared by all tasks."""

    def __init__(self, tasks: Sequence[str]):
        super().__init__()
        self.tasks: list[str] = list(tasks)
        self._row_of = {task: row for row, task in enumerate(self.tasks)}
        self.start: dict[str, Tensor] = {}
        """Where `start_from` began, (…), by the names of `per_task_parameters`; {} for untrained parameters."""
        self.for_unknown_tasks: Optional[str] = None
        """One of `tasks`, whose parameters serve every task that has none; None: such a task is refused."""

    def for_tasks(self, tasks: Sequence[str]) -> Optional[AfterLayer]:
        """The `after_layer` for one `encode` of a batch whose n-th utterance is of task tasks[n].

        None where nothing changes between layers.

        Raises HraError for a task that has no head here.
        """
        raise NotImplementedError

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of which every task has its own, (tasks, …), by their names in `state_dict`.

        What is not among them is shared by all tasks.
        """
        raise NotImplementedError

    def common_parameters(self) -> dict[str, nn.Parameter]:
        """What a task gets that has no parameters of its own, (1, …), by the names of `per_task_parameters`.

        By default nothing. No task among `tasks` uses it.
        """
        return {}

    def start_for_others(self) -> dict[str, Tensor]:
        """Where the parameters of tasks that are not among `tasks` may start, (…), by the names of
        `per_task_parameters`: the common ones, where there are some, and else the mean over the tasks."""
        found = self.common_parameters() or self.per_task_parameters()
        return {name: parameter.detach().mean(0) for name, parameter in found.items()}

    @torch.no_grad()
    def start_from(self, start: Mapping[str, Tensor]) -> None:
        """Sets the parameters of every task to `start`, (…), by the names of `per_task_parameters`.

        Training then pulls them towards it, the more the less speech a task has.
        """
        self.start = {name: tensor.detach().clone() for name, tensor in start.items()}
        for name, parameter in self.per_task_parameters().items():
            parameter.copy_(start[name].expand_as(parameter))

    def matrices(self) -> list[nn.Parameter]:
        """The parameters that are matrices, (R, C), or a matrix per task, (tasks, R, C), and trained as such, by Muon.
        By default none."""
        return []

    @property
    def pull_scale(self) -> float:
        """How many times as strongly as others its parameters are pulled back to their start. By default 1."""
        return 1.0

    @torch.no_grad()
    def start_alike(self) -> None:
        """Gives every task the parameters of the first: of tasks that began elsewhere the mean would mean nothing."""
        for parameter in self.per_task_parameters().values():
            parameter.copy_(parameter[:1].expand_as(parameter))

    def share(self, other: TaskAdapter) -> None:
        """Takes over from an adapter by the same method what all tasks share; what is per task stays."""
        own = self.per_task_parameters()
        shared = {name: tensor for name, tensor in other.state_dict().items() if name not in own}
        self.load_state_dict(shared, strict=False)

    @property
    def parameters_per_task(self) -> int:
        """Parameters that one more task adds."""
        return sum(parameter[0].numel() for parameter in self.per_task_parameters().values())

    @property
    def parameters_shared(self) -> int:
        """Parameters that all tasks share."""
        own = {id(p) for p in (*self.per_task_parameters().values(), *self.common_parameters().values())}
        return sum(parameter.numel() for parameter in self.parameters() if id(parameter) not in own)

    def serving(self, tasks: Sequence[str]) -> list[str]:
        """For each of `tasks` the one whose parameters serve it. Raises HraError for one that has none here."""
        found = [task if task in self._row_of else self.for_unknown_tasks for task in tasks]
        for task, one in zip(tasks, found):
            if one is None:
                raise HraError(f"no head for task '{task}'{did_you_mean(task, self._row_of)}")
        return [one for one in found if one is not None]

    def check(self, tasks: Sequence[str]) -> None:
        """Raises HraError where a batch of these tasks cannot be served: a task has no head here."""
        self.serving(tasks)

    def rows(self, tasks: Sequence[str]) -> list[int]:
        """The row of each of `tasks` in the parameters per task. Raises HraError as `check` does."""
        return [self._row_of[task] for task in self.serving(tasks)]

    def index(self, tasks: Sequence[str]) -> Tensor:
        """`rows` as a tensor (N,) on the parameters' device."""
        return on_device(self.rows(tasks), next(self.parameters()).device)
