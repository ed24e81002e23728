"""Zipformer attention: weights computed once per layer, applied by self-attention and non-linear attention."""

from __future__ import annotations

import math
from typing import Optional

import torch
from torch import Tensor, nn

from hra_cli.linear import Linear

MASKED_SCORE = -1000.0


def relative_positions(num_frames: int, dim: int, device: torch.device) -> Tensor:
    """The table of relative positions, (2T - 1, dim); row 0 is the offset -(T - 1).

    Offsets are compressed logarithmically, then mapped to an angle whose multiples' cosines and sines fill
    the columns; the last column is 1.
    """
    offset = torch.arange(-(num_frames - 1), num_frames, device=device, dtype=torch.float32)
    root = math.sqrt(dim)
    compressed = root * offset.sign() * ((offset.abs() + root).log() - math.log(root))
    angle = torch.atan(compressed * (2.0 * math.pi / dim)).unsqueeze(1)
    multiples = torch.arange(1, dim // 2 + 1, device=device)
    table = torch.empty(2 * num_frames - 1, dim, device=device)
    table[:, 0::2] = (angle * multiples).cos()
    table[:, 1::2] = (angle * multiples).sin()
    table[:, -1] = 1.0
    return table


class AttentionWeights(nn.Module):
    """Multi-head attention weights from content and relative position, without 1/sqrt(dim)."""

    def __init__(self, width: int, heads: int, query_dim: int, pos_head_dim: int, pos_dim: int):
        super().__init__()
        self.heads = heads
        self.query_dim = query_dim
        self.pos_head_dim = pos_head_dim
        self.in_proj = Linear(width, heads * (2 * query_dim + pos_head_dim))
        self.linear_pos = Linear(pos_dim, heads * pos_head_dim, bias=False)

    def forward(self, x: Tensor, positions: Tensor, masked: Optional[Tensor]) -> Tensor:
        """x (T, N, C), positions (2T - 1, pos_dim), masked broadcastable to (N, T, T) or None: (H, N, T, T)."""
        num_frames, batch, _ = x.shape
        content = self.heads * self.query_dim
        query, key, pos_query = self.in_proj(x).split([content, content, self.heads * self.pos_head_dim], dim=-1)
        query = query.reshape(num_frames, batch, self.heads, self.query_dim).permute(2, 1, 0, 3)
        key = key.reshape(num_frames, batch, self.heads, self.query_dim).permute(2, 1, 3, 0)
        scores = torch.matmul(query, key)

        # Row t of the windows holds the keys of offsets -t … T-1-t, so that position scores come out
        # aligned with (target, source) and need no shifting, forward or backward.
        pos_key = self.linear_pos(positions).view(-1, self.heads, self.pos_head_dim)
        windows = pos_key.unfold(0, num_frames, 1).flip(0)  # (T, H, pos_head_dim, T)
        pos_query = pos_query.reshape(num_frames, batch, self.heads, self.pos_head_dim).transpose(1, 2)
        scores = scores + torch.matmul(pos_query, windows).permute(1, 2, 0, 3)

        if masked is not None:
            scores = scores.masked_fill(masked, MASKED_SCORE)
        return scores.softmax(dim=-1)


class SelfAttention(nn.Module):
    """Values averaged by given attention weights."""

    def __init__(self, width: int, heads: int, value_dim: int):
        super().__init__()
        self.heads = heads
        self.in_proj = Linear(width, heads * value_dim)
        self.out_proj = Linear(heads * value_dim, width)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x (T, N, C), weights (H, N, T, T): (T, N, C)."""
        num_frames, batch, _ = x.shape
        value = self.in_proj(x).reshape(num_frames, batch, self.heads, -1).permute(2, 1, 0, 3)
        value = torch.matmul(weights, value).permute(2, 1, 0, 3).reshape(num_frames, batch, -1)
        return self.out_proj(value)


class NonlinAttention(nn.Module):
    """A gated value averaged by the first head's attention weights."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.in_proj = Linear(width, 3 * hidden)
        self.out_proj = Linear(hidden, width)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x (T, N, C), weights (H, N, T, T): (T, N, C)."""
        gate, value, scale = self.in_proj(x).chunk(3, dim=-1)
        value = (value * gate.tanh()).transpose(0, 1)
        return self.out_proj((torch.matmul(weights[0], value).transpose(0, 1) * scale).contiguous())
