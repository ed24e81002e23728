"""Zipformer attention: weights computed once per layer, applied by self-attention and non-linear attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hra_cli.backbone.forward_pass import Pass
from hra_cli.nn.linear import Linear


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

    def forward(self, x: Tensor, run: Pass) -> Any:
        """x (…, C): the weights, as the pass has them."""
        content, position = self.heads * self.query_dim, self.heads * self.pos_head_dim
        query, key, pos_query = self.in_proj(x).split([content, content, position], dim=-1)
        return run.attention_weights(query, key, pos_query, self._pos_key(run.positions(self.pos_dim).to(x.dtype)))

    def _pos_key(self, positions: Tensor) -> Tensor:
        """positions (offsets, pos_dim): (H, P, offsets)."""
        return self.linear_pos(positions).view(-1, self.heads, self.pos_head_dim).permute(1, 2, 0)


class SelfAttention(nn.Module):
    """Values averaged by given attention weights."""

    def __init__(self, width: int, heads: int, value_dim: int):
        super().__init__()
        self.heads = heads
        self.in_proj = Linear(width, heads * value_dim)
        self.out_proj = Linear(heads * value_dim, width)

    def forward(self, x: Tensor, weights: Any, run: Pass) -> Tensor:
        """x (…, C) and attention weights: (…, C)."""
        return self.out_proj(run.averaged(weights, self.in_proj(x), self.heads))


class NonlinAttention(nn.Module):
    """A gated value averaged by the first head's attention weights."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.in_proj = Linear(width, 3 * hidden)
        self.out_proj = Linear(hidden, width)

    def forward(self, x: Tensor, weights: Any, run: Pass) -> Tensor:
        """x (…, C) and attention weights: (…, C)."""
        gate, value, scale = self.in_proj(x).chunk(3, dim=-1)
        return self.out_proj(run.averaged_by_first(weights, value * gate.tanh()) * scale)
