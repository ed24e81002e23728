"""A batch without its padding: frames as rows (F, C), utterances of similar length beside each other.

What works on single frames then computes on no padding, and attention works on blocks of a few utterances.
Lengths are known twice: on the host, where they decide what is computed, and on the device, for its masks. So no
forward pass has to ask a GPU, which would wait until the GPU has caught up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hra_cli.nn.device import on_device
from hra_cli.nn.frames import padding_mask

# How much shorter than its longest utterance the others of a block may be, as a fraction. Padding costs time, and so
# does every block, on a GPU more than on a CPU.
LARGEST_GAP, LARGEST_GAP_ON_GPU = 0.1, 0.25
SMALLEST_GAP = 16  # frames
# Attention weights of one head in a block, at most: on a CPU, more would not fit its cache.
LARGEST_AREA, LARGEST_AREA_ON_GPU = 1 << 19, 1 << 25


@dataclass(frozen=True, eq=False)
class Block:
    """Some utterances padded to the longest of them: n · frames rows, utterance by utterance."""

    utterances: list[int]  # which of the batch
    lengths: list[int]  # frames of each
    frames: int
    lens: Tensor  # (n,) lengths, on the device

    @cached_property
    def padded(self) -> Tensor | None:
        """(n, T) bool, True past an utterance's end, or None where nothing is padded."""
        return None if min(self.lengths) >= self.frames else padding_mask(self.lens, self.frames)


@dataclass(frozen=True, eq=False)
class Rows:
    """How a batch's frames lie in the rows; the same blocks at every frame rate."""

    blocks: list[Block]  # the longest first
    lengths: list[int]  # frames of each utterance
    lens: Tensor  # (N,) lengths, on the device

    @property
    def frames(self) -> int:
        """Frames of the longest block."""
        return self.blocks[0].frames

    @property
    def device(self) -> torch.device:
        """Where the masks are, and the rows."""
        return self.lens.device

    def at_rate(self, factor: int) -> Rows:
        """The rows after every `factor` frames have become one."""
        if factor == 1:
            return self
        groups = [(block.utterances, -(-block.frames // factor)) for block in self.blocks]
        return _rows(groups, [-(-length // factor) for length in self.lengths], self.device)

    @cached_property
    def padded(self) -> Tensor | None:
        """(F, 1) bool, True past an utterance's end, or None where nothing is padded."""
        if all(block.padded is None for block in self.blocks):
            return None
        masks = [padding_mask(block.lens, block.frames).flatten() for block in self.blocks]
        return torch.cat(masks).unsqueeze(1)

    def split(self, x: Tensor) -> list[Tensor]:
        """x (F, C) as (n, T, C) of every block."""
        sizes = [len(block.utterances) * block.frames for block in self.blocks]
        return [piece.view(len(b.utterances), b.frames, -1) for b, piece in zip(self.blocks, x.split(sizes))]

    def join(self, pieces: Sequence[Tensor]) -> Tensor:
        """(n, T, C) of every block as (F, C)."""
        flat = [piece.reshape(-1, piece.shape[-1]) for piece in pieces]
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    @cached_property
    def places(self) -> Tensor:
        """(F,) int64: the place of each row in the batch, (N · T)."""
        frame = torch.arange(self.frames, device=self.device)
        order = on_device([n for block in self.blocks for n in block.utterances], self.device)
        begin = (order * self.frames).unsqueeze(1).split([len(block.utterances) for block in self.blocks])
        return torch.cat([(own + frame[: block.frames]).flatten() for own, block in zip(begin, self.blocks)])

    def to_batch(self, x: Tensor) -> Tensor:
        """x (F, C) as (T, N, C), zero where no block has frames."""
        if len(self.blocks) > 1:
            x = _Scatter.apply(x, self.places, len(self.lengths) * self.frames)
        # Contiguous, since torch 2 rounds the product with a transposed x one way where the weight is trained, and
        # another way where it is frozen.
        return x.view(len(self.lengths), self.frames, -1).transpose(0, 1).contiguous()

    def from_batch(self, x: Tensor) -> Tensor:
        """The inverse of to_batch."""
        x = x.transpose(0, 1).reshape(-1, x.shape[-1])
        return _Gather.apply(x, self.places) if len(self.blocks) > 1 else x


def rows_of(lengths: Sequence[int], device: torch.device) -> Rows:
    """Blocks of utterances of similar length; lengths: frames of each."""
    on_cpu = device.type == "cpu"
    largest_gap = LARGEST_GAP if on_cpu else LARGEST_GAP_ON_GPU
    largest_area = LARGEST_AREA if on_cpu else LARGEST_AREA_ON_GPU
    groups: list[list[int]] = []
    longest = 0
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        gap = max(SMALLEST_GAP, largest_gap * longest)
        if not groups or longest - lengths[n] > gap or (len(groups[-1]) + 1) * longest**2 > largest_area:
            groups.append([])
            longest = lengths[n]
        groups[-1].append(n)
    if len(groups) == 1:
        return one_block(lengths, longest, device)
    return _rows([(group, lengths[group[0]]) for group in groups], lengths, device)


def one_block(lengths: Sequence[int], frames: int, device: torch.device) -> Rows:
    """All utterances in their order, padded to `frames`."""
    return _rows([(list(range(len(lengths))), frames)], lengths, device)


def _rows(groups: Sequence[tuple[list[int], int]], lengths: Sequence[int], device: torch.device) -> Rows:
    """groups: of every block its utterances, and the frames that they are padded to."""
    own = [[lengths[n] for n in utterances] for utterances, _ in groups]
    sent = on_device([length for each in own for length in each], device).split([len(each) for each in own])
    blocks = [Block(group, each, frames, lens) for (group, frames), each, lens in zip(groups, own, sent)]
    return Rows(blocks, list(lengths), on_device(lengths, device))


class _Scatter(torch.autograd.Function):
    """x (F, C) to its places in (size, C). The gradient takes one pass and sums nothing, unlike autograd's own."""

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
