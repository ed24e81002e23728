"""HRA with a part taken away or multiplied: no recurrence, a controller per layer, a head per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, cast

import torch
from torch import Tensor, nn

from hra_cli.adapter.adapter import Adapter, at_rate_of, new_adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import HeadSizes
from hra_cli.adapter.heads import ApplyHeads, HeadBank, new_bank
from hra_cli.adapter.task_adapter import AfterLayer, LayerInfo, TaskAdapter


def without_recurrence(tasks: Sequence[str], width: int, hidden: int, seed: int) -> Adapter:
    """u = 0: every layer's h is of that layer alone."""
    adapter = new_adapter(tasks, width, hidden, seed=seed)
    adapter.controller.recurrent.requires_grad_(False).zero_()
    return adapter


class LayerwiseAdapter(TaskAdapter):
    """HRA with one controller, or one bank of heads, or both, per layer instead of one for all."""

    def __init__(self, tasks: Sequence[str], controllers: Sequence[Controller], banks: Sequence[HeadBank]):
        super().__init__(tasks)
        self.controllers = nn.ModuleList(controllers)
        self.banks = nn.ModuleList(banks)

    def for_tasks(self, tasks: Sequence[str]) -> AfterLayer:
        index = self.index(tasks)
        return _Pass(list(self.controllers), [cast(HeadBank, bank).gather(index) for bank in self.banks])

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return {f"banks.{name}": parameter for name, parameter in self.banks.named_parameters()}

    @property
    def pull_scale(self) -> float:
        return cast(HeadBank, self.banks[0]).pull_scale

    def matrices(self) -> list[nn.Parameter]:
        weights = [cast(Controller, controller).weight for controller in self.controllers]
        return weights + [matrix for bank in self.banks for matrix in cast(HeadBank, bank).matrices()]


class _Pass:
    def __init__(self, controllers: Sequence[nn.Module], heads: Sequence[ApplyHeads]):
        self.controllers, self.heads = controllers, heads
        self.number = 0
        self.state: Optional[Tensor] = None
        self.layer: Optional[LayerInfo] = None

    def __call__(self, x: Tensor, layer: LayerInfo) -> Tensor:
        if self.state is not None and self.layer is not None:
            self.state = at_rate_of(self.state, self.layer, layer, x.shape[0])
        self.state = self.controllers[min(self.number, len(self.controllers) - 1)](x, self.state)
        heads = self.heads[min(self.number, len(self.heads) - 1)]
        self.number, self.layer = self.number + 1, layer
        return x + heads(self.state, x.shape[-1])


def controller_per_layer(
    tasks: Sequence[str], widths: Sequence[int], hidden: int, generator: torch.Generator
) -> LayerwiseAdapter:
    """Each layer has W, u and b of its own; the state still goes from layer to layer."""
    controllers = [Controller(width, hidden, generator) for width in widths]
    return LayerwiseAdapter(tasks, controllers, [new_bank("linear", len(tasks), HeadSizes(max(widths), hidden))])


def head_per_layer(
    tasks: Sequence[str], widths: Sequence[int], hidden: int, generator: torch.Generator
) -> LayerwiseAdapter:
    """Each task has a head of its own for every layer."""
    banks = [new_bank("linear", len(tasks), HeadSizes(width, hidden)) for width in widths]
    return LayerwiseAdapter(tasks, [Controller(max(widths), hidden, generator)], banks)
