"""Stretches of a cut that is too long to be taken whole, and the features of one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import torch
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from torch import Tensor

from hra_cli.data.audio import mono_blocks
from hra_cli.data.feature_stream import FeatureStream
from hra_cli.data.features import FRAME_SHIFT, NUM_MEL_BINS

_STRETCH = "hra_stretch"  # in a cut's custom fields, while it is decoded


@dataclass(frozen=True)
class Stretch:
    """Frames `begin` to `end`, at 100 Hz, of the cut `whole`."""

    whole: Cut
    begin: int
    end: int


def frames_of(cut: Cut) -> int:
    """How many frames at 100 Hz a cut has."""
    seconds: float = cut.duration
    return round(seconds / FRAME_SHIFT)


def stretch_cut(stretch: Stretch, id_: str) -> Cut:
    """A cut for the stretch, called `id_`, with its whole cut's task and without its text."""
    whole = stretch.whole
    return fastcopy(
        whole,
        id=id_,
        start=round(whole.start + stretch.begin * FRAME_SHIFT, 8),
        duration=round(min(stretch.end * FRAME_SHIFT, whole.duration) - stretch.begin * FRAME_SHIFT, 8),
        supervisions=[],
        custom={**(whole.custom or {}), _STRETCH: stretch},
    )


def stretch_of(cut: Cut) -> Optional[Stretch]:
    """What the cut is a stretch of, or None."""
    found: Optional[Stretch] = (cut.custom or {}).get(_STRETCH)
    return found


class StretchFeatures:
    """Features of stretches of audio, computed on the way through the file: it is read once, as long as stretches come
    in their order. They are those of the whole cut."""

    def __init__(self) -> None:
        self._cut: Optional[_LongCut] = None

    def __call__(self, stretch: Stretch) -> Tensor:
        """(T, 80) at 100 Hz. Raises HraError as `mono_blocks` does."""
        if self._cut is None or self._cut.whole.id != stretch.whole.id or stretch.begin < self._cut.begin:
            self._cut = _LongCut(stretch.whole)
        return self._cut.frames(stretch.begin, stretch.end)


class _LongCut:
    """The frames of a cut from `begin` on, as far as they have been asked for."""

    def __init__(self, whole: Cut):
        self.whole = whole
        self.begin = 0
        self._blocks = mono_blocks(whole)
        self._stream: Optional[FeatureStream] = FeatureStream()
        self._frames: Sequence[Tensor] = []  # from `begin` on
        self._end = 0

    def frames(self, begin: int, end: int) -> Tensor:
        while self._end < end and self._stream is not None:
            self._read()
            self._forget(min(begin, self._end))
        self._forget(begin)
        return torch.cat([torch.zeros(0, NUM_MEL_BINS), *self._frames])[: end - begin]

    def _read(self) -> None:
        assert self._stream is not None
        block = next(self._blocks, None)
        if block is None:
            made, self._stream = self._stream.finish(), None
        else:
            made = self._stream.accept(*block)
        self._frames = [*self._frames, made]
        self._end += len(made)

    def _forget(self, begin: int) -> None:
        """Frames before `begin`."""
        kept = []
        for piece in self._frames:
            drop = min(len(piece), max(0, begin - self.begin))
            self.begin += drop
            if drop < len(piece):
                kept.append(piece[drop:].clone() if drop else piece)
        self._frames = kept
