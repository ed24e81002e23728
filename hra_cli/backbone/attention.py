"""Zipformer attention: weights computed once per layer, applied by self-attention and non-linear attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hra_cli.backbone.forward_pass import Pass
from hra_cli.nn.linear import Linear

MASKED_SCORE = -1000.0
TILE = 64  # targets in a tile, about


def position_products(query: Tensor, key: Tensor) -> Tensor:
    """Products of every target's query with the keys of the offsets it needs, (H, tiles, n, B, T + B - 1).

    query (H, n, T, D), one per target. key (H, D, 2T - 1), one per offset, -(T - 1) … T - 1.

    A target needs only the T offsets to its sources, and its neighbour needs the same ones moved by one. So targets are
    taken in tiles of B: together they need T + B - 1 offsets, not 2T - 1. `_by_target` finds the T of each target.
    """
    heads, batch, num_frames, dim = query.shape
    tiles = 1 if num_frames < 2 * TILE else num_frames // TILE
    size = -(-num_frames // tiles)
    missing = tiles * size - num_frames
    query = F.pad(query, (0, 0, 0, missing)).reshape(heads, batch, tiles, size, dim).transpose(1, 2)
    width = num_frames + size - 1
    # The last tile's columns start at the first offset, and each earlier tile's `size` offsets later.
    windows = F.pad(key, (missing, 0)).unfold(2, width, size).flip(2).transpose(1, 2)  # (H, tiles, D, width)
    products = torch.matmul(query.reshape(heads, tiles, batch * size, dim), windows)
    return products.view(heads, tiles, batch, size, width)


def _by_target(scores: Tensor, products: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """scores (H, n, T, T) in parts, and beside each its products, in the same shape; all of them are views.

    The first part holds the whole tiles, the second the targets of a last, shorter tile, where there is one.
    """
    size, num_frames = products.size(3), scores.size(3)
    # For target b of a tile, the first source is in column B - 1 - b, and the others follow.
    strides = (*products.stride()[:3], products.stride(3) - 1, 1)
    by_source = products.as_strided((*products.shape[:-1], num_frames), strides, products.storage_offset() + size - 1)
    by_source = by_source.transpose(1, 2)
    tiles = num_frames // size
    whole = tiles * size
    yield scores[:, :, :whole].unflatten(2, (tiles, size)), by_source[:, :, :tiles]
    if whole < num_frames:
        yield scores[:, :, whole:], by_source[:, :, tiles, : num_frames - whole]


class _Softmax(torch.autograd.Function):
    """Attention weights (H, n, T, T): the softmax of the sum of scores by content and products with positions.

    scores (H, n, T, T): by content; they are overwritten. products: as `position_products` gives them. masked: True
    where a target may not see a source, or None. The weights have the scores' type.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, products: Tensor, masked: Optional[Tensor]) -> Tensor:
        for part, position in _by_target(scores, products):
            part.add_(position)
        if masked is not None:
            scores.masked_fill_(masked, MASKED_SCORE)
        weights = torch._softmax(scores, -1, False)  # unlike torch.softmax, which autocast on CUDA computes in float32
        ctx.save_for_backward(weights, masked)
        ctx.products_shape = products.shape
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, masked = ctx.saved_tensors
        of_scores = torch._softmax_backward_data(grad, weights, -1, weights.dtype)
        if masked is not None:
            of_scores.masked_fill_(masked, 0.0)
        of_products = grad.new_zeros(ctx.products_shape)
        for part, position in _by_target(of_scores, of_products):
            position.copy_(part)
        return of_scores, of_products, None


class AttentionWeights(nn.Module):
    """Multi-head attention weights from content and relative position, without 1/sqrt(dim)."""

    def __init__(self, width: int, heads: int, query_dim: int, pos_head_dim: int, pos_dim: int):
        super().__init__()
        self.heads = heads
        self.query_dim = query_dim
        self.pos_head_dim = pos_head_dim
        self.pos_dim = pos_dim
        self.in_proj = Linear(width, heads * (2 * query_dim + pos_head_dim))
        self.linear_pos = Linear(pos_dim, heads * pos_head_dim, bias=False)

    def forward(self, x: Tensor, run: Pass) -> list[Tensor]:
        """x (F, C): the weights of every block, (H, n, T, T)."""
        content, position = self.heads * self.query_dim, self.heads * self.pos_head_dim
        projected = self.in_proj(x).split([content, content, position], dim=-1)
        queries, keys, pos_queries = (run.rows.split(part) for part in projected)
        pos_key = self._pos_key(run.positions(self.pos_dim).to(x.dtype))
        weights = []
        for block, masked, *parts in zip(run.rows.blocks, run.masked, queries, keys, pos_queries):
            query, key, pos_query = (by_head(part, self.heads) for part in parts)
            longer = run.rows.frames - block.frames
            own_pos_key = pos_key[:, :, longer : pos_key.shape[2] - longer]
            scores = torch.matmul(query, key.transpose(2, 3))
            weights.append(_Softmax.apply(scores, position_products(pos_query, own_pos_key), masked))
        return weights

    def _pos_key(self, positions: Tensor) -> Tensor:
        """positions (2T - 1, pos_dim): (H, D, 2T - 1)."""
        return self.linear_pos(positions).view(-1, self.heads, self.pos_head_dim).permute(1, 2, 0)


def by_head(x: Tensor, heads: int) -> Tensor:
    """(n, T, H · D) as (H, n, T, D)."""
    return x.unflatten(2, (heads, -1)).permute(2, 0, 1, 3)


class Average(torch.autograd.Function):
    """weights (…, T, T) times value (…, T, D), with few channels D: (…, T, D).

    Forward and backward compute the transposed product, at which libraries are faster.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(weights, value)
        return torch.matmul(value.transpose(-2, -1), weights.transpose(-2, -1)).transpose(-2, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        weights, value = ctx.saved_tensors
        of_value = torch.matmul(grad.transpose(-2, -1), weights).transpose(-2, -1)
        return torch.matmul(grad, value.transpose(-2, -1)), of_value


class SelfAttention(nn.Module):
    """Values averaged by given attention weights."""

    def __init__(self, width: int, heads: int, value_dim: int):
        super().__init__()
        self.heads = heads
        self.in_proj = Linear(width, heads * value_dim)
        self.out_proj = Linear(heads * value_dim, width)

    def forward(self, x: Tensor, weights: list[Tensor], run: Pass) -> Tensor:
        """x (F, C), weights (H, n, T, T) of every block: (F, C)."""
        averages = []
        for weight, value in zip(weights, run.rows.split(self.in_proj(x))):
            average = Average.apply(weight, by_head(value, self.heads))
            averages.append(average.permute(1, 2, 0, 3).flatten(2))
        return self.out_proj(run.rows.join(averages))


class NonlinAttention(nn.Module):
    """A gated value averaged by the first head's attention weights."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.in_proj = Linear(width, 3 * hidden)
        self.out_proj = Linear(hidden, width)

    def forward(self, x: Tensor, weights: list[Tensor], run: Pass) -> Tensor:
        """x (F, C), weights (H, n, T, T) of every block: (F, C)."""
        gate, value, scale = self.in_proj(x).chunk(3, dim=-1)
        values = run.rows.split(value * gate.tanh())
        averages = run.rows.join([torch.matmul(weight[0], value) for weight, value in zip(weights, values)])
        return self.out_proj(averages * scale)
