"""A forward pass through the encoder of whole utterances."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

import torch
from torch import Tensor, nn

from hra_cli.backbone.block_attention import Average, attention_weights, by_head
from hra_cli.backbone.convolution import ChunkCausalConv, Chunks
from hra_cli.backbone.forward_pass import AfterLayer, Layer, Pass
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.positions import relative_positions
from hra_cli.backbone.rows import Block, Rows
from hra_cli.nn.frames import repeat_last_frame, upsample, weighted_groups


@dataclass(frozen=True, eq=False)
class BatchPass(Pass):
    """Whole utterances, as rows of frames x (F, C), in blocks of similar length. Attention weights are a list, of every
    block (H, n, T, T).

    rows: where the batch's frames lie in x. options: how the recogniser is run; chunk_size and left_context_frames
    there are frames of 20 ms. after_layer: called between layers. icefall_padding: let an utterance's last frames see
    its padding. downsampling: frames of 20 ms per frame here.
    """

    rows: Rows
    options: BackboneOptions
    after_layer: Optional[AfterLayer] = None
    icefall_padding: bool = False
    downsampling: int = 1

    def at_rate(self, factor: int) -> BatchPass:
        return replace(self, rows=self.rows.at_rate(factor), downsampling=factor * self.downsampling)

    def adapted(self, x: Tensor, layer: str) -> Tensor:
        if self.after_layer is None:
            return x
        here = Layer(layer, x.shape[-1], self.downsampling, self.rows.lens)
        in_float32 = self.options.precision == "float32"
        with nullcontext() if in_float32 else torch.autocast(x.device.type, enabled=False):
            return self.rows.from_batch(self.after_layer(self.rows.to_batch(x), here))

    def positions(self, dim: int) -> Tensor:
        """The table for the longest block, (2T - 1, dim)."""
        if dim not in self._positions:
            farthest = self.rows.frames - 1
            self._positions[dim] = relative_positions(-farthest, farthest, dim, self.rows.device)
        return self._positions[dim]

    @cached_property
    def _positions(self) -> dict[int, Tensor]:
        return {}

    def attention_weights(self, query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor) -> list[Tensor]:
        weights = []
        split = map(self.rows.split, (query, key, pos_query))
        for block, masked, own_query, own_key, own_pos_query in zip(self.rows.blocks, self.masked, *split):
            longer = self.rows.frames - block.frames
            own_pos_key = pos_key[:, :, longer : pos_key.shape[2] - longer]
            weights.append(attention_weights(own_query, own_key, own_pos_query, own_pos_key, masked))
        return weights

    def averaged(self, weights: list[Tensor], value: Tensor, heads: int) -> Tensor:
        averages = []
        for weight, own in zip(weights, self.rows.split(value)):
            average = Average.apply(weight, by_head(own, heads))
            averages.append(average.permute(1, 2, 0, 3).flatten(2))
        return self.rows.join(averages)

    def averaged_by_first(self, weights: list[Tensor], value: Tensor) -> Tensor:
        return self.rows.join([torch.matmul(weight[0], own) for weight, own in zip(weights, self.rows.split(value))])

    def convolved(self, x: Tensor, conv: nn.Module) -> Tensor:
        if self.rows.padded is not None:
            x = x.masked_fill_(self.rows.padded, 0.0)
        pieces = [piece.transpose(1, 2) for piece in self.rows.split(x)]
        if isinstance(conv, ChunkCausalConv):
            pieces = [conv(piece, chunks) for piece, chunks in zip(pieces, self.chunks)]
        else:
            pieces = [conv(piece) for piece in pieces]
        return self.rows.join([piece.transpose(1, 2) for piece in pieces])

    def downsampled(self, x: Tensor, weights: Tensor) -> Tensor:
        pieces = []
        for block, piece in zip(self.rows.blocks, self.rows.split(x)):
            piece = piece.transpose(0, 1)
            if block.padded is not None and not self.icefall_padding:
                piece = repeat_last_frame(piece, block.lens)
            pieces.append(weighted_groups(piece, weights).transpose(0, 1))
        return self.rows.join(pieces)

    def upsampled(self, x: Tensor, factor: int) -> Tensor:
        pieces = [
            upsample(piece.transpose(0, 1), factor)[: block.frames].transpose(0, 1)
            for block, piece in zip(self.rows.blocks, self.rows.at_rate(factor).split(x))
        ]
        return self.rows.join(pieces)

    @cached_property
    def masked(self) -> list[Optional[Tensor]]:
        """Of every block, True where a target may not see a source: broadcastable to (n, T, T), or None."""
        masked = [None if block.padded is None else block.padded.unsqueeze(1) for block in self.rows.blocks]
        if self.options.chunk_size is None:
            return masked
        outside = self._outside_chunks(self.options.chunk_size)
        for n, block in enumerate(self.rows.blocks):
            own, padded = outside[: block.frames, : block.frames], masked[n]
            masked[n] = own if padded is None else padded | own
        return masked

    def _outside_chunks(self, chunk_size: int) -> Tensor:
        """(T, T) bool, True where target t may not see source s: it lies in a later chunk, or too far back."""
        chunk = torch.arange(self.rows.frames, device=self.rows.device) * self.downsampling // chunk_size
        target, source = chunk.unsqueeze(1), chunk.unsqueeze(0)
        outside = source > target
        if self.options.left_context_frames is not None:
            outside |= source < target - self.options.left_context_frames // chunk_size
        return outside

    @cached_property
    def chunks(self) -> list[Chunks]:
        """Of every block, its chunks in frames of this rate; without a chunk_size all frames are one chunk."""
        return [self._chunks_of(block) for block in self.rows.blocks]

    def _chunks_of(self, block: Block) -> Chunks:
        size = block.frames
        if self.options.chunk_size is not None:
            size = min(self.options.chunk_size // self.downsampling, size)
        lengths = [size] if self.icefall_padding else [min(length, size) for length in block.lengths]
        if len(set(lengths)) == 1:
            return Chunks(size, torch.full((1,), lengths[0], device=self.rows.device))
        return Chunks(size, block.lens.clamp(max=size))
