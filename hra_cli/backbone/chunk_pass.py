"""A forward pass through the encoder of one chunk of each of many streams, in plain operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Optional

import torch
from torch import Tensor, nn

from hra_cli.backbone import plain_attention
from hra_cli.backbone.convolution import ChunkCausalConv, Chunks
from hra_cli.backbone.forward_pass import AfterLayer, Layer, Pass
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.positions import relative_positions
from hra_cli.backbone.stream_state import LayerState
from hra_cli.nn.frames import upsample, weighted_groups


@dataclass(frozen=True, eq=False)
class ChunkPass(Pass):
    """One chunk of each of N streams, x (T, N, C), all of whose T frames count. Attention weights are (H, N, T, S).

    options: how the recogniser is run; its chunk_size and left_context_frames are numbers. past: what the layers
    remember, layer by layer. processed_lens (N,): frames of 20 ms that each stream had before. after_layer: called
    between layers. following: what the layers remember after this chunk is added to it. downsampling: frames of 20 ms
    per frame here.
    """

    options: BackboneOptions
    past: Iterator[LayerState]
    processed_lens: Tensor
    after_layer: Optional[AfterLayer] = None
    downsampling: int = 1
    following: list[LayerState] = field(default_factory=list)
    _of_layer: list[Tensor] = field(default_factory=list)  # what the layer that is at work has not yet used
    _next: list[Tensor] = field(default_factory=list)  # what it will remember

    @property
    def frames(self) -> int:
        """Frames of a chunk at this rate."""
        assert self.options.chunk_size is not None
        return self.options.chunk_size // self.downsampling

    @property
    def left_context(self) -> int:
        """Frames before the chunk that attention remembers, at this rate."""
        assert self.options.left_context_frames is not None
        return self.options.left_context_frames // self.downsampling

    def at_rate(self, factor: int) -> ChunkPass:
        return replace(self, downsampling=factor * self.downsampling)

    def adapted(self, x: Tensor, layer: str) -> Tensor:
        if self.after_layer is None:
            return x
        lens = torch.full_like(self.processed_lens, self.frames)
        return self.after_layer(x, Layer(layer, x.shape[-1], self.downsampling, lens))

    def positions(self, dim: int) -> Tensor:
        """The table for a chunk and what is remembered, (left_context + 2T - 1, dim)."""
        first, last = 1 - self.frames - self.left_context, self.frames - 1
        return _positions(first, last, dim, self.processed_lens.device)

    def attention_weights(self, query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor) -> Tensor:
        return plain_attention.attention_weights(query, self._after_past(key, 0), pos_query, pos_key, self._unseen)

    def averaged(self, weights: Tensor, value: Tensor, heads: int) -> Tensor:
        return plain_attention.averaged(weights, self._after_past(value, 0))

    def averaged_by_first(self, weights: Tensor, value: Tensor) -> Tensor:
        value = self._after_past(value.transpose(0, 1).unsqueeze(0), 2)
        return plain_attention.averaged_by_first(weights, value[0])

    def convolved(self, x: Tensor, conv: nn.Module) -> Tensor:
        assert isinstance(conv, ChunkCausalConv)
        x = x.permute(1, 2, 0)
        whole = torch.full((1,), self.frames, device=x.device)
        return conv(x, Chunks(self.frames, whole), self._after_past(x, 2)).permute(2, 0, 1)

    def downsampled(self, x: Tensor, weights: Tensor) -> Tensor:
        return weighted_groups(x, weights)

    def upsampled(self, x: Tensor, factor: int) -> Tensor:
        return upsample(x, factor)

    @cached_property
    def _unseen(self) -> Tensor:
        """(N, 1, S) bool, True for sources from before a stream's start."""
        before = torch.arange(self.left_context, 0, -1, device=self.processed_lens.device)
        remembered = before * self.downsampling > self.processed_lens.unsqueeze(1)
        own = torch.zeros_like(self.processed_lens, dtype=torch.bool).unsqueeze(1).expand(-1, self.frames)
        return torch.cat([remembered, own], dim=1).unsqueeze(1)

    def _after_past(self, x: Tensor, axis: int) -> Tensor:
        """x after what the module that is at work remembers of the frames before. The last of both it will remember.

        Modules are told apart by the order in which they run.
        """
        if not self._of_layer:
            layer = next(self.past)
            self._of_layer.extend(getattr(layer, name) for name in _IN_ORDER_OF_USE)
        past = self._of_layer.pop(0)
        joined = torch.cat([past, x], dim=axis)
        self._next.append(joined.narrow(axis, x.shape[axis], past.shape[axis]))
        if not self._of_layer:
            self.following.append(LayerState(**dict(zip(_IN_ORDER_OF_USE, self._next))))
            self._next.clear()
        return joined


_IN_ORDER_OF_USE = (
    "cached_key",
    "cached_nonlin_attn",
    "cached_val1",
    "cached_conv1",
    "cached_val2",
    "cached_conv2",
)


@lru_cache(maxsize=64)
def _positions(first: int, last: int, dim: int, device: torch.device) -> Tensor:
    return relative_positions(first, last, dim, device)
