"""Two windows that overlap, joined so that no word is doubled or lost where they meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from hra_cli.recognition.units import Unit, Units
from hra_cli.transducer.search_interface import Hypothesis

# Its frame, how many of the left window's tokens in the overlap it keeps, and how many of the right's it drops.
_Seam = tuple[float, int, int]
# Frames of 40 ms.
_SAME_TIME = 10  # the same word in two windows may be emitted so far apart
_SILENCE = 15  # without tokens for so long, nobody is in the middle of a word
_MARGIN = 5  # of which so much to either side belongs to the words around it
_EDGE = 25  # what lies nearer to a window's edge, it has heard too little around


def joined(left: Hypothesis, right: Hypothesis, begin: int, end: int, units: Units) -> Hypothesis:
    """What was said in two windows. left: of all windows up to one that ends at frame `end`. right: of the next, which
    begins at frame `begin`. Frames of both are counted from the same moment.

    The seam lies after a word on which both agree, or in a silence of both; of all such places, nearest to the middle
    of what both heard, since each knows less the nearer its edge is. Where there is no such place, it lies where words
    begin farthest apart.
    """
    tail = next((n for n in range(len(left.frames), 0, -1) if left.frames[n - 1] < begin), 0)
    late = Hypothesis(left.tokens[tail:], left.frames[tail:])
    early_end = next((n for n, frame in enumerate(right.frames) if frame >= end), len(right.frames))
    early = Hypothesis(right.tokens[:early_end], right.frames[:early_end])
    seams = [*_agreed(units.of(late), units.of(early)), *_silences(late, early, begin, end, units)]
    middle = (begin + end) / 2
    if seams:
        _, kept, dropped = min(seams, key=lambda seam: abs(seam[0] - middle))
    else:
        kept, dropped = _between_words(units.of(late), units.of(early), begin, end)
    frames = left.frames[: tail + kept]
    for frame in right.frames[dropped:]:  # the windows' clocks may differ by a frame or two
        frames.append(max(frame, frames[-1] + 1) if frames else frame)
    return Hypothesis(left.tokens[: tail + kept] + right.tokens[dropped:], frames)


def _agreed(left: list[Unit], right: list[Unit]) -> Iterator[_Seam]:
    """After each word that both have at about the same time."""
    for one in left:
        nearest = _nearest(one, right)
        if nearest is not None and _nearest(nearest, left) is one:  # else the word was said twice
            yield max(one.last, nearest.last), one.end, nearest.end


def _nearest(unit: Unit, others: list[Unit]) -> Optional[Unit]:
    same = [one for one in others if one.text == unit.text and abs(one.begin - unit.begin) <= _SAME_TIME]
    return min(same, key=lambda one: abs(one.begin - unit.begin), default=None)


def _silences(left: Hypothesis, right: Hypothesis, begin: int, end: int, units: Units) -> Iterator[_Seam]:
    """In each silence of both."""
    heard = sorted({begin, *left.frames, *right.frames, end})
    for before, after in zip(heard, heard[1:]):
        if after - before < _SILENCE:
            continue
        place = min(max((begin + end) / 2, before + _MARGIN), after - _MARGIN)
        kept, dropped = (sum(frame < place for frame in one.frames) for one in (left, right))
        following = [one.tokens[n] for one, n in ((left, kept), (right, dropped)) if n < len(one.tokens)]
        if all(map(units.begins, following)):
            yield place, kept, dropped


def _between_words(left: list[Unit], right: list[Unit], begin: int, end: int) -> tuple[int, int]:
    begins = sorted({begin, *(one.begin for one in [*left, *right]), end})
    middle = (begin + end) / 2
    gaps = [(after - before, (before + after) / 2) for before, after in zip(begins, begins[1:])]
    inside = [(gap, -abs(place - middle), place) for gap, place in gaps if begin + _EDGE <= place <= end - _EDGE]
    place = max(inside)[2] if inside else middle
    kept = max((one.end for one in left if one.begin < place), default=0)
    dropped = max((one.end for one in right if one.begin < place), default=0)
    return kept, dropped
