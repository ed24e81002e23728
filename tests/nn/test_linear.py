"""Affine maps, whichever library computes them."""

import pytest
import torch
import torch.nn.functional as F

from hra_cli.nn.linear import FEWEST_ROWS, Linear, linear


@pytest.mark.parametrize("shape", [(3, 50, 24), (200, 24), (2, 24), (FEWEST_ROWS, 24)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_torch(shape, with_bias):
    generator = torch.Generator().manual_seed(1)
    x, weight, bias, up = (
        torch.randn(*size, generator=generator) for size in (shape, (40, 24), (40,), (*shape[:-1], 40))
    )
    inputs = [tensor.requires_grad_() for tensor in ((x, weight, bias) if with_bias else (x, weight))]
    ours, theirs = linear(*inputs), F.linear(*inputs)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for one, other in zip(torch.autograd.grad(ours, inputs, up), torch.autograd.grad(theirs, inputs, up)):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-4)


def test_only_what_is_asked_for_is_differentiated():
    layer = Linear(8, 4).requires_grad_(False)
    x = torch.randn(100, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert torch.allclose(x.grad, layer.weight.sum(0).expand(100, 8), atol=1e-5)
    assert not layer(x.detach()).requires_grad


def test_other_types_than_float32():
    layer = Linear(8, 4).double()
    assert layer(torch.randn(100, 8, dtype=torch.float64)).dtype == torch.float64
