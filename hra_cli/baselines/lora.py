"""LoRA (Hu et al. 2021, arXiv 2106.09685) on the attention and feed-forward projections of every encoder layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hra_cli.backbone.model import Backbone
from hra_cli.baselines.hooked import Change, Hooked

_PROJECTION = re.compile(r"encoder\.encoders\..*(self_attn_weights|self_attn\d|feed_forward\d)\.(in|out)_proj")


class LowRank(Change):
    """y + B A x: A starts at random, B at zero."""

    def __init__(self, tasks: int, linear: nn.Linear, rank: int, generator: torch.Generator):
        super().__init__()
        fan_in = linear.in_features
        self.a = nn.Parameter(torch.randn(tasks, rank, fan_in, generator=generator) * fan_in**-0.5)
        self.b = nn.Parameter(torch.zeros(tasks, linear.out_features, rank))

    def forward(self, inputs: Tensor, output: Tensor, index: Tensor) -> Tensor:
        """inputs (N, T, I), output (N, T, O): (N, T, O)."""
        a, b = self.a.index_select(0, index), self.b.index_select(0, index)
        low = torch.bmm(inputs, a.transpose(1, 2))
        return torch.baddbmm(output, low, b.transpose(1, 2))


def lora(backbone: Backbone, tasks: Sequence[str], rank: int, generator: torch.Generator) -> Hooked:
    """LoRA of this rank on a copy of `backbone`."""
    changes: dict[str, Change] = {
        name: LowRank(len(tasks), module, rank, generator)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear) and _PROJECTION.fullmatch(name)
    }
    return Hooked(backbone, tasks, changes)
