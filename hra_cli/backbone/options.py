"""How a recogniser is run: what a user chooses, beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

from hra_cli.errors import MOST_SIZE, HraError, check_not_negative, check_positive, did_you_mean

PRECISIONS = ("float32", "bfloat16", "float16")
MOST_FRAMES = 1_000_000  # more than five hours
WHOLE = -1  # as icefall writes it: the whole utterance, or all that comes before a chunk


class Chunking(NamedTuple):
    """How much a causal model sees at a time: fields as in BackboneOptions."""

    chunk_size: Optional[int] = None
    left_context_frames: Optional[int] = None

    @classmethod
    def of(cls, chunk_size: int, left_context_frames: int) -> Chunking:
        """From frames of which WHOLE may be either; the whole utterance has nothing before it."""
        if chunk_size == WHOLE:
            return cls()
        return cls(chunk_size, None if left_context_frames == WHOLE else left_context_frames)


@dataclass(frozen=True)
class BackboneOptions:
    """pos_head_dim: the positional head dimension, which shapes do not tell; 4 in every published model.
    chunk_size, left_context_frames: frames of 20 ms that a causal model sees at a time, and before that; None: all.
    precision: one of PRECISIONS, what the front end and the encoder's layers multiply in. device: "auto" (CUDA where
    there is one, else the CPU), "cpu", "cuda" or "cuda:N". recompute: keep of every encoder layer its input alone, and
    compute the rest again for the gradient: less memory, more time.

    Raises HraError for sizes that are none, left_context_frames without chunk_size, and an unknown precision.
    """

    pos_head_dim: int = 4
    chunk_size: Optional[int] = None
    left_context_frames: Optional[int] = None
    precision: str = "float32"
    device: str = "auto"
    recompute: bool = False

    def __post_init__(self) -> None:
        check_positive(MOST_SIZE, pos_head_dim=self.pos_head_dim)
        check_positive(MOST_FRAMES, chunk_size=self.chunk_size)
        check_not_negative(MOST_FRAMES, left_context_frames=self.left_context_frames)
        if self.left_context_frames is not None and self.chunk_size is None:
            raise HraError("--left-context-frames says what is seen before a chunk; it needs --chunk-size")
        if self.precision not in PRECISIONS:
            raise HraError(f"no such precision: '{self.precision}'{did_you_mean(self.precision, PRECISIONS)}")

    def check_streaming(self) -> None:
        """Raises HraError where a recogniser that is run so cannot stream."""
        if self.chunk_size is None or self.left_context_frames is None:
            raise HraError("a stream needs --chunk-size and --left-context-frames, such as 32 and 128")
        if self.left_context_frames % self.chunk_size:
            raise HraError(
                f"--left-context-frames {self.left_context_frames} must be a multiple of --chunk-size "
                f"{self.chunk_size} for a stream, which remembers whole chunks"
            )
