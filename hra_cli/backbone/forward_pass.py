"""One forward pass through the encoder: all that its modules are told beside x."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, NamedTuple, Optional

import torch
from torch import Tensor

from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.positions import relative_positions
from hra_cli.backbone.rows import Block, Rows


class Layer(NamedTuple):
    """Where in the encoder an `after_layer` callable stands."""

    name: str  # as in the checkpoint, e.g. "encoders.1.encoder.layers.0"
    width: int  # channels
    downsampling: int  # frames of 20 ms per frame here
    lens: Tensor  # (N,) frames of each utterance at this rate, on the encoder's device


# x (T, N, C) float32, the output of a layer, to what the next layer sees: the same shape.
AfterLayer = Callable[[Tensor, Layer], Tensor]


class Chunks(NamedTuple):
    """How a causal convolution divides a block's frames."""

    size: int  # frames of a chunk
    first: Tensor  # (n,) frames of each utterance's first chunk, or (1,) where they are as many in all of them


@dataclass(frozen=True, eq=False)
class Pass:
    """What holds for a whole batch at one frame rate. Modules call it `run`.

    Modules that work on single frames need nothing of it. Attention, convolutions and downsampling, which look from one
    frame to another, ask here which frames there are, and which of them they may see.

    rows: where the batch's frames lie in x (F, C). options: how the recogniser is run; chunk_size and
    left_context_frames there are frames of 20 ms. after_layer: called between layers. icefall_padding: let an
    utterance's last frames see its padding. downsampling: frames of 20 ms per frame here.
    """

    rows: Rows
    options: BackboneOptions
    after_layer: Optional[AfterLayer] = None
    icefall_padding: bool = False
    downsampling: int = 1

    def at_rate(self, factor: int) -> Pass:
        """This pass after every `factor` frames have become one."""
        return replace(self, rows=self.rows.at_rate(factor), downsampling=factor * self.downsampling)

    def adapted(self, x: Tensor, layer: str) -> Tensor:
        """x (F, C), the output of the layer of this name, as `after_layer` returns it for the next layer."""
        if self.after_layer is None:
            return x
        here = Layer(layer, x.shape[-1], self.downsampling, self.rows.lens)
        in_float32 = self.options.precision == "float32"
        with nullcontext() if in_float32 else torch.autocast(x.device.type, enabled=False):
            return self.rows.from_batch(self.after_layer(self.rows.to_batch(x), here))

    def positions(self, dim: int) -> Tensor:
        """The table of relative positions for the longest block, (2T - 1, dim) float32."""
        if dim not in self._positions:
            self._positions[dim] = relative_positions(self.rows.frames, dim, self.rows.device)
        return self._positions[dim]

    @cached_property
    def _positions(self) -> dict[int, Tensor]:
        return {}

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
