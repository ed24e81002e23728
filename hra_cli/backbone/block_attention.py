"""Attention among the frames of whole utterances: scores by position without computing those that nobody needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

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


def attention_weights(
    query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor, masked: Optional[Tensor]
) -> Tensor:
    """The weights (H, n, T, T) of every head.

    query, key (n, T, H · D), pos_query (n, T, H · P), pos_key (H, P, 2T - 1). masked: True where a target may not see a
    source, broadcastable to (n, T, T), or None.
    """
    heads = pos_key.shape[0]
    scores = torch.matmul(by_head(query, heads), by_head(key, heads).transpose(2, 3))
    return _Softmax.apply(scores, position_products(by_head(pos_query, heads), pos_key), masked)


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
