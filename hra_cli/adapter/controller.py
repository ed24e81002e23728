"""The controller: an IndRNN over depth, shared by every task and every layer (arXiv 2403.19709)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Controller(nn.Module):
    """h_l = ReLU(W x_l + u ⊙ h_{l-1} + b), with h_0 = 0 and x_l the output of encoder layer l.

    W (H, D) has the width D of the widest layer; a layer of width d is read with its first d columns.
    """

    def __init__(self, width: int, hidden: int, generator: Optional[torch.Generator] = None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(hidden, width, generator=generator) * width**-0.5)
        self.recurrent = nn.Parameter(torch.rand(hidden, generator=generator))
        self.bias = nn.Parameter(torch.zeros(hidden))

    @property
    def hidden(self) -> int:
        """H, the size of the state."""
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        """D, channels of the widest layer."""
        return self.weight.shape[1]

    def forward(self, x: Tensor, previous: Optional[Tensor]) -> Tensor:
        """x (T, N, d), previous h (T, N, H) or None before the first layer: h (T, N, H)."""
        return next_state(x, previous, self.weight, self.recurrent, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        """The parameters under the names that files and fingerprints use."""
        return {f"controller.{name}": parameter.detach() for name, parameter in self.named_parameters()}


def next_state(x: Tensor, previous: Optional[Tensor], weight: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """The equation: x (T, N, d), previous h (T, N, H) or None before the first layer: h (T, N, H)."""
    read = F.linear(x, weight[:, : x.shape[-1]], bias)
    return F.relu(read if previous is None else read + recurrent * previous)
