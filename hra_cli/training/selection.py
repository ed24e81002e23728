"""Which epoch is kept: the last that is as good on dev as the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from hra_cli.scoring.wer import ErrorCounts, Scores


class KeptEpochs:
    """The last epoch so far whose errors on dev are within one standard error of the fewest.

    The fewest of many epochs are few by chance too, and the rate falls to nothing, so that the last epochs are the best
    trained: an earlier one has to be better by more than chance (the one-standard-error rule, Breiman et al. 1984).

    When heads are trained on a frozen controller each task keeps its own epoch. When the controller moves too,
    one epoch is kept for all tasks: a head works only with the controller of its own epoch.

    by_task: plain numbers: epoch, step, scores (error counts), and of those that it was kept with the fewest errors
    of an epoch yet and this epoch's loss.
    tensors: the adapter's state as of the kept epochs.
    """

    def __init__(self, tasks: Sequence[str], each_its_own: bool):
        self.tasks = list(tasks)
        self.groups = [[task] for task in self.tasks] if each_its_own else [self.tasks]
        self.by_task: dict[str, dict[str, Any]] = {}
        self.tensors: dict[str, Tensor] = {}

    def offer(self, adapter: nn.Module, epoch: int, step: int, scores: Scores, losses: dict[str, float]) -> None:
        """Keeps this epoch for the tasks for which it is as good as the best yet."""
        state = adapter.state_dict()
        if not self.tensors:
            self.tensors = {name: tensor.clone() for name, tensor in state.items()}
        for group in self.groups:
            counts = {task: scores.tasks.get(task, ErrorCounts()) for task in group}
            errors = sum(count.errors for count in counts.values())
            fewest = min(errors, self.by_task[group[0]]["fewest"]) if group[0] in self.by_task else errors
            if errors > as_good_as(fewest):
                continue
            loss = sum(losses[task] for task in group)
            self._copy(state, group)
            for task, count in counts.items():
                numbers = {"epoch": epoch, "step": step, "fewest": fewest, "loss": loss}
                self.by_task[task] = {**numbers, "scores": asdict(count)}

    def _copy(self, state: dict[str, Tensor], group: Sequence[str]) -> None:
        heads = [self.tasks.index(task) for task in group]
        for name, tensor in state.items():
            if name.startswith("bank."):
                self.tensors[name][heads] = tensor[heads]
            else:
                self.tensors[name].copy_(tensor)


def as_good_as(errors: int) -> float:
    """How many errors may be so many by chance: one standard error more, by Poisson's law."""
    return errors + math.sqrt(errors)
