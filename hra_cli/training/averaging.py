"""The mean of the trained parameters over a run's steps: it is what is validated, and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from hra_cli.adapter.task_adapter import TaskAdapter


class AveragedParameters:
    """The mean of the parameters of `adapter` that require gradients, over the steps that were added (Polyak and
    Juditsky 1992; of neural networks Izmailov et al. 2018, arXiv 1803.05407).

    At a constant learning rate the parameters move around a good place, whose middle generalises better, above all to
    tasks that were not trained on. tensors: the mean by the parameters' names in `state_dict`; {} before the first
    step. steps: how many it is of.
    """

    def __init__(self, adapter: TaskAdapter):
        self.trained = {name: one for name, one in adapter.named_parameters() if one.requires_grad}
        self.tensors: dict[str, Tensor] = {}
        self.steps = 0

    @torch.no_grad()
    def add(self) -> None:
        """Adds the parameters as they are now."""
        self.steps += 1
        if not self.tensors:
            self.tensors = {name: one.detach().clone() for name, one in self.trained.items()}
            return
        for name, mean in self.tensors.items():
            mean.lerp_(self.trained[name], 1 / self.steps)

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Goes on from what `tensors` and `steps` were."""
        self.tensors = {name: tensor.to(self.trained[name].device) for name, tensor in tensors.items()}
        self.steps = steps

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it the adapter has the mean; before the first step its own parameters."""
        own = {name: self.trained[name].data for name in self.tensors}
        try:
            for name, mean in self.tensors.items():
                self.trained[name].data = mean
            yield
        finally:
            for name, tensor in own.items():
                self.trained[name].data = tensor
