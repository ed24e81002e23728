"""The chunks of a run on a causal recogniser: those that training draws from, and the one that heads are chosen with.

Imports nothing heavy, since the command line shows the defaults.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Optional, Union

from hra_cli.backbone.options import MOST_FRAMES, WHOLE, Chunking
from hra_cli.errors import HraError, check_not_negative, check_positive

# Of 20 ms: as many in every batch, or one of these, drawn for each. None is WHOLE.
Frames = Union[int, tuple[int, ...], None]


@dataclass(frozen=True)
class ChunkPlan:
    """chunk_size, left_context_frames: what training draws from, with the seed, anew for every batch, as icefall does
    for causal models: a chunk size, and a left context, which counts whole chunks and at least one. Where neither is a
    list nothing is drawn, and a left context may be none, as in decoding.

    validate_chunk_size, validate_left_context_frames: those of validation, WHOLE for all. None: the smallest of each
    that training has, which is the hardest case.

    Raises HraError for frames that are none, and for a left context without chunks.
    """

    chunk_size: Frames = None
    left_context_frames: Frames = None
    validate_chunk_size: Optional[int] = None
    validate_left_context_frames: Optional[int] = None

    def __post_init__(self) -> None:
        for size in _values(self.chunk_size):
            _check("chunk_size", size, least=1)
        for left in _values(self.left_context_frames):
            _check("left_context_frames", left, least=1 if self._draws else 0)
        _check("validate_chunk_size", self.validate_chunk_size, least=1)
        _check("validate_left_context_frames", self.validate_left_context_frames, least=0)
        for name in ("chunk_size", "left_context_frames"):
            if getattr(self, name) == ():
                raise HraError(f"--{name.replace('_', '-')} names none")
        if self.left_context_frames is not None and set(_values(self.chunk_size)) == {WHOLE}:
            raise HraError("--left-context-frames says what is seen before a chunk; it needs --chunk-size")
        if self.validate_left_context_frames is not None and self.in_use.chunk_size is None:
            raise HraError("--validate-left-context-frames says what is seen before a chunk; validation is without any")

    @property
    def in_use(self) -> Chunking:
        """What validation, and so the choice of the epoch, is done with: what the heads are for."""
        size = self.validate_chunk_size
        if size is None:
            size = _smallest(self.chunk_size)
        if self.validate_left_context_frames is None:
            return self._chunking(size, _smallest(self.left_context_frames))
        return Chunking.of(size, self.validate_left_context_frames)

    def drawn(self, seed: int, number: int) -> Chunking:
        """What the batch of step `number` of a run with this seed is trained with, whatever was drawn before."""
        # A string that nothing else seeds with, so that this follows no other draw.
        draw = random.Random(f"chunks {seed} {number}")
        return self._chunking(draw.choice(_values(self.chunk_size)), draw.choice(_values(self.left_context_frames)))

    @property
    def every_size(self) -> list[Chunking]:
        """Each chunk size that may come up, to be held against a recogniser."""
        return [Chunking.of(size, WHOLE) for size in dict.fromkeys(_values(self.chunk_size))]

    def as_json(self) -> dict[str, Any]:
        """For the metadata of heads; {} where nothing was done in chunks."""
        if set(_values(self.chunk_size)) == {WHOLE} and self.in_use.chunk_size is None:
            return {}
        found: dict[str, Any] = {}
        for name in ("chunk_size", "left_context_frames"):
            values = list(_values(getattr(self, name)))
            found[name] = values if len(values) > 1 else values[0]
        for name, used in self.in_use._asdict().items():
            found[f"validate_{name}"] = WHOLE if used is None else used
        return found

    @property
    def _draws(self) -> bool:
        return isinstance(self.chunk_size, tuple) or isinstance(self.left_context_frames, tuple)

    def _chunking(self, size: int, left: int) -> Chunking:
        return Chunking.of(size, max(left, size) if self._draws and left != WHOLE else left)


def _values(frames: Frames) -> tuple[int, ...]:
    if frames is None:
        return (WHOLE,)
    return frames if isinstance(frames, tuple) else (frames,)


def _smallest(frames: Frames) -> int:
    return min(_values(frames), key=lambda value: (value == WHOLE, value))


def _check(name: str, frames: Optional[int], least: int) -> None:
    if frames != WHOLE:
        (check_positive if least else check_not_negative)(MOST_FRAMES, **{name: frames})
