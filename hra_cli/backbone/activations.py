"""Zipformer's elementwise parts: Swoosh activations, BiasNorm and the bypass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def swoosh_l(x: Tensor) -> Tensor:
    """log(1 + exp(x - 4)) - 0.08 x - 0.035, any shape."""
    return _swoosh(x, 4.0, 0.035)


def swoosh_r(x: Tensor) -> Tensor:
    """log(1 + exp(x - 1)) - 0.08 x - 0.313261687, any shape."""
    return _swoosh(x, 1.0, 0.313261687)


def _swoosh(x: Tensor, shift: float, offset: float) -> Tensor:
    """Through softplus, whose value and gradient stay finite where the exponential overflows. In place where it can
    be: on wide activations the passes over memory are what takes the time."""
    shifted = x - shift
    return F.softplus(shifted).add_(shifted, alpha=-0.08).sub_(offset + 0.08 * shift)


class BiasNorm(nn.Module):
    """x · exp(log_scale) / sqrt(mean over channels of (x - bias)²), over the last axis."""

    def __init__(self, width: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.mean((x - self.bias) ** 2, dim=-1, keepdim=True).rsqrt() * self.log_scale.exp()
        return x * scale


class Bypass(nn.Module):
    """original + (x - original) · bypass_scale, a learned mix of a block's input and output."""

    def __init__(self, width: int):
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, original: Tensor, x: Tensor) -> Tensor:
        return torch.addcmul(original, x - original, self.bypass_scale)
