"""Residual adapters: after every encoder layer a bottleneck of its own, per task.

Houlsby et al. 2019 (arXiv 1902.00751) in the place and form of Tomanek et al. 2021 (arXiv 2109.06952).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.adapter.heads import project
from hra_cli.adapter.task_adapter import AfterLayer, LayerInfo, TaskAdapter


class Bottlenecks(nn.Module):
    """x + up(ReLU(down(LayerNorm(x)))) for every task. up starts at zero, so that an untrained one does nothing."""

    def __init__(self, tasks: int, width: int, bottleneck: int, generator: torch.Generator):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(tasks, width))
        self.shift = nn.Parameter(torch.zeros(tasks, width))
        self.down = nn.Parameter(torch.randn(tasks, bottleneck, width, generator=generator) * width**-0.5)
        self.down_bias = nn.Parameter(torch.zeros(tasks, bottleneck))
        self.up = nn.Parameter(torch.zeros(tasks, width, bottleneck))
        self.up_bias = nn.Parameter(torch.zeros(tasks, width))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """x (T, N, d), index (N,) which task each utterance is of: the same shape."""
        scale, shift, down, down_bias, up, up_bias = (p.index_select(0, index) for p in self.parameters())
        normed = F.layer_norm(x, x.shape[-1:]) * scale + shift
        return x + project(F.relu(project(normed, down, down_bias)), up, up_bias)


class ResidualAdapters(TaskAdapter):
    """A bottleneck per task after every layer. layer_widths: channels by the layer's name."""

    def __init__(self, layer_widths: dict[str, int], tasks: Sequence[str], bottleneck: int, generator: torch.Generator):
        super().__init__(tasks)
        self.layers = nn.ModuleDict(
            {
                name.replace(".", "-"): Bottlenecks(len(tasks), width, bottleneck, generator)
                for name, width in layer_widths.items()
            }
        )

    def for_tasks(self, tasks: Sequence[str]) -> AfterLayer:
        index = self.index(tasks)

        def after_layer(x: Tensor, layer: LayerInfo) -> Tensor:
            adapted: Tensor = self.layers[layer.name.replace(".", "-")](x, index)
            return adapted

        return after_layer

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())
