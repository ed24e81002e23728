"""Attention in plain operations, which any graph of an exported recogniser can hold. x is (T, N, C)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from hra_cli.backbone.block_attention import MASKED_SCORE


def attention_weights(
    query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor, masked: Optional[Tensor]
) -> Tensor:
    """The weights (H, N, T, S) of T targets for S sources, the last T of which are the targets themselves.

    query (T, N, H · D), key (S, N, H · D), pos_query (T, N, H · P). pos_key (H, P, S + T - 1): of every offset, from
    that of the last target to the first source, to that of the first target to the last source. masked: True where a
    target may not see a source, broadcastable to (N, T, S), or None.
    """
    heads = pos_key.shape[0]
    content = torch.matmul(_by_head(query, heads), _by_head(key, heads).transpose(2, 3))
    position = torch.matmul(_by_head(pos_query, heads), pos_key.unsqueeze(1))
    scores = content + _by_source(position, key.shape[0])
    if masked is not None:
        scores = scores.masked_fill(masked, MASKED_SCORE)
    return scores.softmax(dim=-1)


def averaged(weights: Tensor, value: Tensor) -> Tensor:
    """value (S, N, H · D) averaged by every head's weights (H, N, T, S): (T, N, H · D)."""
    return torch.matmul(weights, _by_head(value, weights.shape[0])).permute(2, 1, 0, 3).flatten(2)


def averaged_by_first(weights: Tensor, value: Tensor) -> Tensor:
    """value (N, S, C) averaged by the first head's weights of (H, N, T, S): (T, N, C)."""
    return torch.matmul(weights[0], value).transpose(0, 1)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(T, N, H · D) as (H, N, T, D)."""
    return x.view(x.shape[0], x.shape[1], heads, -1).permute(2, 1, 0, 3)


def _by_source(products: Tensor, sources: int) -> Tensor:
    """Products with offsets (H, N, T, S + T - 1) as products with sources (H, N, T, S).

    Target t has its first source T - 1 - t columns after the first. Where rows get one column more and are then read
    as rows of one column less, each begins where its target's sources do.
    """
    heads, batch, targets, offsets = products.shape
    flat = F.pad(products, (0, 1)).reshape(heads, batch, targets * (offsets + 1))
    rows = flat[:, :, targets - 1 : targets - 1 + targets * offsets].reshape(heads, batch, targets, offsets)
    return rows[..., :sources]
