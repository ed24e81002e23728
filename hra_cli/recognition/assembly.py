"""Cuts taken apart into pieces, and what was found in the pieces put together again."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lhotse.cut import Cut

from hra_cli.data.features import FRAME_SHIFT
from hra_cli.data.skipped import Skipped
from hra_cli.data.stretches import Stretch, frames_of, stretch_cut
from hra_cli.errors import HraError
from hra_cli.recognition.seams import joined
from hra_cli.recognition.units import Units
from hra_cli.recognition.windows import GRID, LONGEST, Split
from hra_cli.transducer.search_interface import Hypothesis


@dataclass
class Finished:
    """Cuts with what was found in them, those that cannot be read, and seconds of audio that were done meanwhile."""

    found: list[tuple[Cut, Hypothesis]] = field(default_factory=list)
    unreadable: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(eq=False)
class _Open:
    """A cut whose pieces are being recognised. end: of the last one, in encoder frames."""

    cut: Cut
    pieces: list[tuple[int, int]]
    found: Hypothesis = field(default_factory=Hypothesis)
    done: int = 0
    end: int = 0


class Assembly:
    """Gives the pieces of cuts one after the other, and takes what was found in them, in the same order."""

    def __init__(self, split: Split, units: Units):
        self._split = split
        self._units = units
        # By the id of every piece that is still to come; two cuts may be called the same.
        self._open: defaultdict[str, deque[_Open]] = defaultdict(deque)
        self._finished = Finished()

    def pieces(self, cuts: Iterable[Cut]) -> Iterator[Cut]:
        """A cut for every piece. A cut that is one piece, and not long, is its own."""
        for cut in cuts:
            try:
                pieces = self._split(cut)
            except HraError as error:
                self._fail(cut, str(error))
                continue
            one = _Open(cut, pieces)
            if not pieces:
                self._finish(one)
            elif pieces == [(0, frames_of(cut))] and pieces[0][1] <= LONGEST:
                self._open[cut.id].append(one)
                yield cut
            else:
                ids = [f"{cut.id}\0{number}" for number in range(len(pieces))]  # no id or path has such a character
                for id_ in ids:
                    self._open[id_].append(one)
                for id_, (begin, end) in zip(ids, pieces):
                    if one in self._open[id_]:  # the cut has not failed meanwhile
                        yield stretch_cut(Stretch(cut, begin, end), id_)

    def add(self, id_: str, found: Hypothesis) -> None:
        """What was found in a piece."""
        if not self._open[id_]:  # another piece of its cut could not be read
            return
        one = self._open[id_].popleft()
        begin, end = one.pieces[one.done]
        first = begin // GRID
        found = Hypothesis(found.tokens, [first + frame for frame in found.frames])
        one.found = joined(one.found, found, first, one.end, self._units) if one.done else found
        one.end = -(-end // GRID)
        one.done += 1
        # What a piece has in common with the next is done with the next.
        until = one.pieces[one.done][0] if one.done < len(one.pieces) else end
        self._finished.seconds += (until - begin) * FRAME_SHIFT
        if one.done == len(one.pieces):
            self._finish(one)

    def fail(self, unreadable: Skipped) -> None:
        """A piece that cannot be read: its cut cannot, then."""
        if self._open[unreadable.id]:
            failed = self._open[unreadable.id][0]
            for pieces in self._open.values():
                if failed in pieces:
                    pieces.remove(failed)
            self._fail(failed.cut, unreadable.detail)

    def finished(self) -> Finished:
        """What has been finished since this was last asked."""
        finished, self._finished = self._finished, Finished()
        return finished

    def _finish(self, one: _Open) -> None:
        self._finished.found.append((one.cut, one.found))

    def _fail(self, cut: Cut, detail: str) -> None:
        self._finished.unreadable.append(Skipped(cut.id, "unreadable", detail))
