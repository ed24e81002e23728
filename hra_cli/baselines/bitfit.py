"""BitFit (Ben Zaken et al. 2021, arXiv 2106.10199): the biases and norms of the encoder, per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import torch
from torch import Tensor, nn

from hra_cli.backbone.activations import BiasNorm
from hra_cli.backbone.model import Backbone
from hra_cli.baselines.hooked import Change, Hooked


class Shift(Change):
    """A bias moved by (tasks, channels). Linear has (N, T, C), convolutions have (N, C, T) or (N, C, T, F)."""

    def __init__(self, tasks: int, module: Union[nn.Linear, nn.Conv1d, nn.Conv2d]):
        super().__init__()
        assert module.bias is not None
        self.shift = nn.Parameter(torch.zeros(tasks, module.bias.numel()))
        self.channels_first = not isinstance(module, nn.Linear)

    def forward(self, inputs: Tensor, output: Tensor, index: Tensor) -> Tensor:
        shift = self.shift.index_select(0, index)
        if self.channels_first:  # (N, C, T) or (N, C, T, F)
            return output + shift.view(*shift.shape, *[1] * (output.dim() - 2))
        return output + shift.unsqueeze(1)


class Norm(Change):
    """A BiasNorm whose bias and log scale are moved per task: (N, T, C) to (N, T, C)."""

    def __init__(self, tasks: int, norm: BiasNorm):
        super().__init__()
        # In a list, so that the frozen norm's parameters are not this module's.
        self._frozen = [norm]
        self.shift = nn.Parameter(torch.zeros(tasks, norm.bias.numel()))
        self.log_scale = nn.Parameter(torch.zeros(tasks, 1))

    def forward(self, inputs: Tensor, output: Tensor, index: Tensor) -> Tensor:
        frozen = self._frozen[0]
        shift, log_scale = (p.index_select(0, index).unsqueeze(1) for p in (self.shift, self.log_scale))
        centred = inputs - (frozen.bias + shift)
        return inputs * centred.square().mean(-1, keepdim=True).rsqrt() * (frozen.log_scale + log_scale).exp()


def bitfit(backbone: Backbone, tasks: Sequence[str]) -> Hooked:
    """BitFit on a copy of `backbone`: every bias and norm of its front end and encoder is moved, per task."""
    changes: dict[str, Change] = {}
    for name, module in backbone.named_modules():
        if not name.startswith(("encoder.", "encoder_embed.")):
            continue
        # A chunk-wise convolution sees chunks, not utterances. The bias of its causal half has the same effect.
        if name.endswith("chunkwise_conv"):
            continue
        if isinstance(module, BiasNorm):
            changes[name] = Norm(len(tasks), module)
        elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)) and module.bias is not None:
            changes[name] = Shift(len(tasks), module)
    return Hooked(backbone, tasks, changes)
