"""A forward pass through the encoder of whole utterances, in operations that a graph can hold.

It computes what backbone/batch_pass.py computes: every utterance comes out as it would alone. But it knows no length
and takes no decision, so that what torch traces is right for any number of utterances of any lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

from torch import Tensor, nn

from hra_cli.backbone import plain_attention
from hra_cli.backbone.convolution import ChunkCausalConv, Chunks
from hra_cli.backbone.forward_pass import AfterLayer, Layer, Pass
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.positions import relative_positions
from hra_cli.nn.frames import padding_mask, repeat_last_frame, upsample, weighted_groups


@dataclass(frozen=True, eq=False)
class WholePass(Pass):
    """N utterances padded to the longest, x (T, N, C), which all see all of themselves. Attention weights are
    (H, N, T, T).

    options: how the recogniser is run, without chunks. frames: T. lens (N,): frames of each utterance. after_layer:
    called between layers. downsampling: frames of 20 ms per frame here.
    """

    options: BackboneOptions
    frames: int
    lens: Tensor
    after_layer: Optional[AfterLayer] = None
    downsampling: int = 1

    def at_rate(self, factor: int) -> WholePass:
        lens = (self.lens + factor - 1) // factor
        frames = (self.frames + factor - 1) // factor
        return replace(self, frames=frames, lens=lens, downsampling=factor * self.downsampling)

    def adapted(self, x: Tensor, layer: str) -> Tensor:
        if self.after_layer is None:
            return x
        return self.after_layer(x, Layer(layer, x.shape[-1], self.downsampling, self.lens))

    def positions(self, dim: int) -> Tensor:
        """The table for all of an utterance, (2T - 1, dim)."""
        if dim not in self._positions:
            farthest = self.frames - 1
            self._positions[dim] = relative_positions(-farthest, farthest, dim, self.lens.device)
        return self._positions[dim]

    @cached_property
    def _positions(self) -> dict[int, Tensor]:
        return {}

    @cached_property
    def _padded(self) -> Tensor:
        """(N, 1, T) bool, True past an utterance's end."""
        return padding_mask(self.lens, self.frames).unsqueeze(1)

    def attention_weights(self, query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor) -> Tensor:
        return plain_attention.attention_weights(query, key, pos_query, pos_key, self._padded)

    def averaged(self, weights: Tensor, value: Tensor, heads: int) -> Tensor:
        return plain_attention.averaged(weights, value)

    def averaged_by_first(self, weights: Tensor, value: Tensor) -> Tensor:
        return plain_attention.averaged_by_first(weights, value.transpose(0, 1))

    def convolved(self, x: Tensor, conv: nn.Module) -> Tensor:
        x = x.permute(1, 2, 0).masked_fill(self._padded, 0.0)
        # Of a causal one, all frames are one chunk.
        own = (Chunks(self.frames, self.lens),) if isinstance(conv, ChunkCausalConv) else ()
        convolved: Tensor = conv(x, *own)
        return convolved.permute(2, 0, 1)

    def downsampled(self, x: Tensor, weights: Tensor) -> Tensor:
        return weighted_groups(repeat_last_frame(x, self.lens), weights)

    def upsampled(self, x: Tensor, factor: int) -> Tensor:
        return upsample(x, factor)[: self.frames]
