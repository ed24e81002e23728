"""Which epoch is kept: the adapter as it was with the fewest dev errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from hra_cli.scoring.wer import ErrorCounts, Scores


class BestEpochs:
    """The best epoch so far: the fewest errors on dev, on a tie the lower dev loss.

    When heads are trained on a frozen controller each task keeps its own best epoch. When the controller moves too,
    one epoch is kept for all tasks: a head works only with the controller of its own epoch.

    kept: by task, plain numbers: epoch, step, scores (error counts) and what they are compared by.
    tensors: the adapter's state as of the best epochs.
    """

    def __init__(self, tasks: Sequence[str], each_its_own: bool):
        self.tasks = list(tasks)
        self.groups = [[task] for task in self.tasks] if each_its_own else [self.tasks]
        self.kept: dict[str, dict[str, Any]] = {}
        self.tensors: dict[str, Tensor] = {}

    def offer(self, adapter: nn.Module, epoch: int, step: int, scores: Scores, losses: dict[str, float]) -> None:
        """Keeps this epoch for the tasks for which it is the best yet."""
        state = adapter.state_dict()
        if not self.tensors:
            self.tensors = {name: tensor.clone() for name, tensor in state.items()}
        for group in self.groups:
            counts = {task: scores.tasks.get(task, ErrorCounts()) for task in group}
            rank = [sum(count.errors for count in counts.values()), sum(losses[task] for task in group)]
            if group[0] in self.kept and rank > self.kept[group[0]]["rank"]:
                continue
            self._copy(state, group)
            for task, count in counts.items():
                self.kept[task] = {"epoch": epoch, "step": step, "rank": rank, "scores": asdict(count)}

    def _copy(self, state: dict[str, Tensor], group: Sequence[str]) -> None:
        heads = [self.tasks.index(task) for task in group]
        for name, tensor in state.items():
            if name.startswith("bank."):
                self.tensors[name][heads] = tensor[heads]
            else:
                self.tensors[name].copy_(tensor)
