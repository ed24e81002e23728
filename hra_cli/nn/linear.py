"""Affine maps, as fast as the processor can compute them."""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The MKL inside torch 1.x leaves out AVX-512 on processors that are not Intel's: oneDNN, which torch brings as well, is
# then 2.5 times as fast. Later torch needs no help.
_PREFER_ONEDNN = torch.__version__.startswith("1.") and torch.backends.mkldnn.is_available()
FEWEST_ROWS = 64  # with fewer, reordering the weight for oneDNN takes longer than the product


def linear(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """x (…, I), weight (O, I), bias (O,): x weightᵀ + bias, (…, O)."""
    few = x.numel() < FEWEST_ROWS * x.shape[-1]
    if not _PREFER_ONEDNN or few or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    if torch.jit.is_tracing():  # an exported graph has no functions of our own
        return F.linear(x, weight, bias)
    if torch.is_autocast_cpu_enabled():  # in bfloat16 F.linear is oneDNN's in every torch
        return F.linear(x, weight, bias)
    product: Tensor = _OneDnnLinear.apply(x, weight, bias)
    return product


class Linear(nn.Linear):
    """nn.Linear that computes with `linear`: (…, I) to (…, O)."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], ...]:
        x, weight = ctx.saved_tensors
        x_grad = weight_grad = bias_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = linear(grad, weight.t())
        if ctx.needs_input_grad[1]:
            weight_grad = linear(grad.flatten(0, -2).t(), x.flatten(0, -2).t())
        if ctx.needs_input_grad[2]:
            bias_grad = grad.flatten(0, -2).sum(0)
        return x_grad, weight_grad, bias_grad


def _product(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    return torch._C._nn.mkldnn_linear(x.detach().to_mkldnn(), weight.detach(), bias).to_dense()
