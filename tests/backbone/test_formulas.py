"""What is computed in another order than it is defined, against its definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hra_cli.backbone.activations import BiasNorm, swoosh_l, swoosh_r
from hra_cli.backbone.attention import AttentionWeights
from hra_cli.backbone.batch_pass import BatchPass
from hra_cli.backbone.block_attention import Average
from hra_cli.backbone.convolution import DepthwiseConv1d
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.positions import relative_positions
from hra_cli.backbone.rows import rows_of
from hra_cli.nn.linear import Linear


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("swoosh", "shift", "offset"), [(swoosh_l, 4.0, 0.035), (swoosh_r, 1.0, 0.313261687)])
def test_swoosh(swoosh, shift, offset):
    x = (8.0 * random(4, 6)).requires_grad_()
    before = x.detach().clone()
    expected = torch.log1p(torch.exp(x.detach() - shift)) - 0.08 * x.detach() - offset
    assert torch.allclose(swoosh(x).detach(), expected, atol=1e-8)
    assert torch.equal(x.detach(), before)
    assert torch.autograd.gradcheck(swoosh, (x,))


def test_swooshs_gradient_is_finite_where_exp_overflows():
    x = torch.tensor([-1000.0, -100.0, 100.0, 1000.0], requires_grad=True)
    (grad,) = torch.autograd.grad(swoosh_l(x).sum(), x)
    assert torch.allclose(grad, torch.tensor([-0.08, -0.08, 0.92, 0.92]))


def test_bias_norm():
    norm = BiasNorm(6).double()
    with torch.no_grad():
        norm.bias.copy_(random(6, seed=1))
    x = random(3, 6)
    expected = x * norm.log_scale.exp() / ((x - norm.bias) ** 2).mean(-1, keepdim=True).sqrt()
    assert torch.allclose(norm(x), expected)


def test_average_of_values():
    weights, value = random(2, 3, 5, 5).requires_grad_(), random(2, 3, 5, 4, seed=1).requires_grad_()
    assert torch.allclose(Average.apply(weights, value), torch.matmul(weights, value))
    assert torch.autograd.gradcheck(Average.apply, (weights, value))


@pytest.mark.parametrize("lens", [[1], [5, 4], [63, 10], [127, 128], [129, 250, 247, 40]])
def test_attention_weights(lens):
    """Short ones in one tile, longer ones in several of which the last is not full."""
    heads, query_dim, pos_head_dim = 2, 3, 4
    attention = AttentionWeights(8, heads, query_dim, pos_head_dim, 6).double()
    for n, parameter in enumerate(attention.parameters()):
        parameter.data.copy_(0.5 * random(*parameter.shape, seed=n))
    rows = rows_of(lens, torch.device("cpu"))
    positions = relative_positions(1 - rows.frames, rows.frames - 1, 6, torch.device("cpu")).double()
    masked = [None if block.padded is None else block.padded.unsqueeze(1) for block in rows.blocks]
    x = rows.from_batch(random(rows.frames, len(lens), 8)).requires_grad_()
    run = BatchPass(rows, BackboneOptions())
    pos_key = attention.linear_pos(positions).view(-1, heads, pos_head_dim)
    inputs = [x, *attention.parameters()]
    weightings, got, expected = [], [], []
    for block, piece, mask, weights in zip(rows.blocks, rows.split(x), masked, attention(x, run)):
        projected = F.linear(piece, attention.in_proj.weight, attention.in_proj.bias)
        query, key, pos_query = projected.split([6, 6, 8], dim=-1)
        query, key, pos_query = (part.unflatten(2, (heads, -1)) for part in (query, key, pos_query))
        frame = torch.arange(block.frames)
        offset = frame.unsqueeze(0) - frame.unsqueeze(1) + rows.frames - 1  # (target, source)
        scores = torch.einsum("nthd,nshd->hnts", query, key)
        scores = scores + torch.einsum("nthd,tshd->hnts", pos_query, pos_key[offset])
        if mask is not None:
            scores = scores.masked_fill(mask, -1000.0)
        got.append(weights)
        expected.append(scores.softmax(-1))
        weightings.append(random(*weights.shape, seed=7))
        assert torch.allclose(got[-1], expected[-1])
    losses = [sum((w * g).sum() for w, g in zip(weightings, each)) for each in (got, expected)]
    for one, other in zip(*(torch.autograd.grad(loss, inputs) for loss in losses)):
        assert torch.allclose(one, other, atol=1e-9)


def test_depthwise_convolution():
    ours, plain = DepthwiseConv1d(6, 5), nn.Conv1d(6, 6, 5, padding=2, groups=6)
    plain.load_state_dict(ours.state_dict())
    assert_equal_with_gradients(ours, plain, torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0)))
    assert_equal_with_gradients(ours, plain, torch.randn(2, 9, 6).transpose(1, 2))


@pytest.mark.parametrize("shape", [(7, 6), (2, 3, 6)])
def test_linear(shape):
    ours, plain = Linear(6, 4), nn.Linear(6, 4)
    plain.load_state_dict(ours.state_dict())
    assert_equal_with_gradients(ours, plain, torch.randn(shape, generator=torch.Generator().manual_seed(0)))


def assert_equal_with_gradients(ours, plain, x):
    x.requires_grad_()
    got, expected = ours(x), plain(x)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-5)
    weighting = torch.randn(got.shape, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad((out * weighting).sum(), [x, module.weight, module.bias])
        for out, module in ((got, ours), (expected, plain))
    ]
    for one, other in zip(*gradients):
        assert torch.allclose(one, other, atol=1e-5)
