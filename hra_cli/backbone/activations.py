"""Zipformer's elementwise parts: Swoosh activations, BiasNorm and the bypass.

On wide activations the time goes into passes over memory, forward and backward. So there are few of them here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SLOPE = 0.08
SOFTPLUS_THRESHOLD = 20.0  # from there on softplus is the identity, as F.softplus has it


def swoosh_l(x: Tensor) -> Tensor:
    """log(1 + exp(x - 4)) - 0.08 x - 0.035, any shape."""
    return _swoosh(x, 4.0, 0.035)


def swoosh_r(x: Tensor) -> Tensor:
    """log(1 + exp(x - 1)) - 0.08 x - 0.313261687, any shape."""
    return _swoosh(x, 1.0, 0.313261687)


def _swoosh(x: Tensor, shift: float, offset: float) -> Tensor:
    if torch.jit.is_tracing():  # an exported graph has no functions of our own, and writes nothing in place
        shifted = x - shift
        # onnxruntime takes three times as long for its own softplus.
        softplus = F.relu(shifted) + shifted.abs().neg().exp().log1p()
        return softplus - SLOPE * shifted - (offset + SLOPE * shift)
    return _Swoosh.apply(x, shift, offset)


class _Swoosh(torch.autograd.Function):
    """swoosh_l and swoosh_r by softplus, which stays finite where the exponential overflows. Keeps x's type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: float, offset: float) -> Tensor:
        shifted = x - shift
        ctx.save_for_backward(shifted)
        # With `out`, since autocast on CUDA would compute any other softplus in float32.
        softplus = F.softplus(shifted, out=torch.empty_like(shifted))
        return softplus.add_(shifted, alpha=-SLOPE).sub_(offset + SLOPE * shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (shifted,) = ctx.saved_tensors
        of_softplus = torch.ops.aten.softplus_backward(grad, shifted, 1.0, SOFTPLUS_THRESHOLD)
        return of_softplus.add_(grad, alpha=-SLOPE), None, None


class BiasNorm(nn.Module):
    """x · exp(log_scale) / sqrt(mean over channels of (x - bias)²), over the last axis."""

    def __init__(self, width: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x - self.bias, dim=-1, keepdim=True)
        return x * (self.log_scale.exp() * x.shape[-1] ** 0.5 / norm)


class Bypass(nn.Module):
    """original + (x - original) · bypass_scale, a learned mix of a block's input and output, both (…, C)."""

    def __init__(self, width: int):
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, original: Tensor, x: Tensor) -> Tensor:
        return torch.lerp(original, x, self.bypass_scale)
