"""How a recording is taken apart to be recognised piece by piece, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable

from lhotse.cut import Cut

from hra_cli.data.stretches import frames_of

# The pieces of a cut, in their order: the first frame of each and the one after its last, at 100 Hz.
Split = Callable[[Cut], list[tuple[int, int]]]

GRID = 4  # frames at 100 Hz for one of the encoder: pieces begin on one
_HOP = 3000  # frames from one window to the next, at most
_MARGIN = 300  # frames that a window has before and after them: it overlaps with the next in twice as many
LONGEST = _HOP + 2 * _MARGIN  # frames that are taken at once


def windows(cut: Cut) -> list[tuple[int, int]]:
    """Windows of one length, each with 6 s in common with the next; one, where all fits into 36 s."""
    frames = frames_of(cut)
    if frames <= LONGEST:
        return [(0, frames)]
    count = -(-(frames - 2 * _MARGIN) // _HOP)
    begins = [n * (frames - 2 * _MARGIN) // count // GRID * GRID for n in range(count + 1)]
    return [(begin, min(frames, end + 2 * _MARGIN)) for begin, end in zip(begins, begins[1:-1])] + [
        (begins[-2], frames)
    ]


def whole(cut: Cut) -> list[tuple[int, int]]:
    """All at once, for a recogniser that streams."""
    return [(0, frames_of(cut))]
