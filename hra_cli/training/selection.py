"""Model selection: the last epoch that is as good on dev as the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.io.documents import check_numbers
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.validation import DevResult


@dataclass(frozen=True)
class Selected:
    """A task's selected epoch, the step after which it was scored, and its scores on dev.

    Over the tasks that are selected together: the fewest errors of any epoch so far, and this epoch's loss, on dev.
    """

    epoch: int
    step: int
    fewest: int
    loss: float
    scores: ErrorCounts

    def __post_init__(self) -> None:
        check_numbers(self)
        check_numbers(self.scores)


class SelectedEpochs:
    """The last epoch so far whose errors on dev are within one standard error of the fewest.

    The fewest errors of many epochs are partly chance, and the last epochs are the best trained: the learning rate has
    fallen, or the mean is of the most steps. An earlier epoch has to be better by more than chance (the
    one-standard-error rule, Breiman et al. 1984). Without words on dev that is the last epoch.

    When heads are trained on a frozen controller each task has its own epoch. When the controller moves too, one epoch
    is selected for all tasks: a head works only with the controller of its own epoch.

    epoch_per_task: whether each task has its own epoch. by_task: what is selected for each task. tensors: the adapter's
    state as of the selected epochs, on the CPU; {} before the first.
    """

    def __init__(self, tasks: Sequence[str], epoch_per_task: bool):
        self.tasks = list(tasks)
        self.groups = [[task] for task in self.tasks] if epoch_per_task else [self.tasks]
        self.by_task: dict[str, Selected] = {}
        self.tensors: dict[str, Tensor] = {}
        self._row_of = {task: row for row, task in enumerate(self.tasks)}

    def offer(self, adapter: TaskAdapter, epoch: int, step: int, dev: DevResult) -> None:
        """Selects this epoch for the tasks for which it is as good as the best yet."""
        if not self.tensors:
            self.tensors = {name: tensor.cpu().clone() for name, tensor in adapter.state_dict().items()}
        chosen: list[str] = []
        for group in self.groups:
            counts = {task: dev.scores.tasks.get(task, ErrorCounts()) for task in group}
            errors = sum(count.errors for count in counts.values())
            fewest = min(errors, self.by_task[group[0]].fewest) if group[0] in self.by_task else errors
            if errors > as_good_as(fewest):
                continue
            loss = sum(dev.losses[task] for task in group)
            for task, count in counts.items():
                self.by_task[task] = Selected(epoch, step, fewest, loss, count)
            chosen += group
        if chosen:
            self._copy(adapter, chosen)

    def _copy(self, adapter: TaskAdapter, tasks: Sequence[str]) -> None:
        rows = [self._row_of[task] for task in tasks]
        per_task = adapter.per_task_parameters()
        for name, tensor in adapter.state_dict().items():
            if name in per_task:
                self.tensors[name][rows] = tensor[rows].cpu()
            else:
                self.tensors[name].copy_(tensor)


def as_good_as(errors: int) -> float:
    """The most errors that may differ from `errors` by chance: one standard error more, by Poisson's law."""
    return errors + math.sqrt(errors)
