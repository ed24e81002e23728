"""A batch without its padding: frames as rows (F, C), utterances of similar length beside each other.

What works on single frames then computes on no padding, and attention works on blocks that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hra_cli.nn.frames import padding_mask

# Of a block's longest utterance: how much shorter another may be. Blocks cost time, and so does padding.
LARGEST_GAP = 0.1
SMALLEST_GAP = 16  # frames
# Attention weights of a head: blocks of more than that fall out of the cache.
LARGEST_AREA = 1 << 19


@dataclass(frozen=True)
class Block:
    """Some utterances padded to the longest of them: n · frames rows, utterance by utterance."""

    utterances: Tensor  # (n,) which of the batch
    lens: Tensor  # (n,) frames of each
    frames: int

    @cached_property
    def padded(self) -> Tensor | None:
        """(n, T) bool, or None where nothing is padded."""
        return None if bool((self.lens >= self.frames).all()) else padding_mask(self.lens, self.frames)


@dataclass(frozen=True)
class Rows:
    """How a batch's frames lie in the rows; the same blocks at every frame rate."""

    blocks: list[Block]
    lens: Tensor  # (N,)
    frames: int  # of the longest block

    def at_rate(self, factor: int) -> Rows:
        """After every `factor` frames have become one."""
        if factor == 1:
            return self
        blocks = [Block(b.utterances, -(-b.lens // factor), -(-b.frames // factor)) for b in self.blocks]
        return Rows(blocks, -(-self.lens // factor), -(-self.frames // factor))

    @cached_property
    def padded(self) -> Tensor | None:
        """(F, 1) bool, or None where nothing is padded."""
        if all(block.padded is None for block in self.blocks):
            return None
        masks = [padding_mask(block.lens, block.frames).flatten() for block in self.blocks]
        return torch.cat(masks).unsqueeze(1)

    def split(self, x: Tensor) -> list[Tensor]:
        """x (F, C) as (n, T, C) of every block."""
        sizes = [len(block.lens) * block.frames for block in self.blocks]
        return [piece.view(len(b.lens), b.frames, -1) for b, piece in zip(self.blocks, x.split(sizes))]

    def join(self, pieces: Sequence[Tensor]) -> Tensor:
        """(n, T, C) of every block as (F, C)."""
        flat = [piece.reshape(-1, piece.shape[-1]) for piece in pieces]
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    @cached_property
    def places(self) -> Tensor:
        """(F,): where in (N · T) each row belongs."""
        frame = torch.arange(self.frames, device=self.lens.device)
        places = [b.utterances.unsqueeze(1) * self.frames + frame[: b.frames] for b in self.blocks]
        return torch.cat([place.flatten() for place in places])

    def to_batch(self, x: Tensor) -> Tensor:
        """x (F, C) as (T, N, C), zero where no block has frames."""
        if len(self.blocks) > 1:
            x = _Scatter.apply(x, self.places, len(self.lens) * self.frames)
        # Contiguous, since torch 2 rounds the product with a transposed x one way where the weight is trained, and
        # another way where it is frozen.
        return x.view(len(self.lens), self.frames, -1).transpose(0, 1).contiguous()

    def from_batch(self, x: Tensor) -> Tensor:
        """The inverse of to_batch."""
        x = x.transpose(0, 1).reshape(-1, x.shape[-1])
        return _Gather.apply(x, self.places) if len(self.blocks) > 1 else x


def rows_of(lens: Tensor) -> Rows:
    """Blocks of utterances of similar length."""
    groups: list[list[int]] = []
    lengths: list[int] = lens.tolist()
    longest = 0
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        gap = max(SMALLEST_GAP, LARGEST_GAP * longest)
        if not groups or longest - lengths[n] > gap or (len(groups[-1]) + 1) * longest**2 > LARGEST_AREA:
            groups.append([])
            longest = lengths[n]
        groups[-1].append(n)
    if len(groups) == 1:
        return one_block(lens, longest)
    blocks = []
    for group in groups:
        index = torch.tensor(group, device=lens.device)
        blocks.append(Block(index, lens[index], lengths[group[0]]))
    return Rows(blocks, lens, blocks[0].frames)


def one_block(lens: Tensor, frames: int) -> Rows:
    """All utterances in their order, padded to `frames`."""
    return Rows([Block(torch.arange(len(lens), device=lens.device), lens, frames)], lens, frames)


class _Scatter(torch.autograd.Function):
    """Rows to their places; unlike autograd's own, its gradient takes one pass and adds nothing up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        return x.new_zeros(size, x.shape[1]).index_copy_(0, places, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grad.index_select(0, places), None, None


class _Gather(torch.autograd.Function):
    """The inverse of _Scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = x.shape[0]
        return x.index_select(0, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return grad.new_zeros(ctx.size, grad.shape[1]).index_copy_(0, places, grad), None
