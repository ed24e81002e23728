"""Many cuts, of which only what batches are planned by is in memory; the rest is read from manifests when wanted."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
from lhotse.cut import Cut
from numpy.typing import NDArray

from hra_cli.data.lazy_sequence import LazySequence

# So many cuts stay in memory, in about 100 MB: small data are read once.
KEPT = 20_000


class Place(NamedTuple):
    """Where a cut is in a manifest: its line, counted from the block of lines that begins at byte `block`."""

    file: Path
    block: int
    line: int


# The cuts at the lines of a file's block, in the order of the lines.
ReadBlock = Callable[[Path, int, Sequence[int]], Sequence[Cut]]


class CutTable(LazySequence[Cut]):
    """Cuts in the order in which they were added; of those beyond the first `KEPT` 32 bytes each are in memory.

    read_block: reads what is not. It may raise HraError, such as for a file that has changed since.
    """

    def __init__(self, read_block: Optional[ReadBlock] = None) -> None:
        self._read_block = read_block
        self._kept: list[Cut] = []
        self._durations = array("d")
        self._files: list[Path] = []
        self._file, self._block, self._line = array("l"), array("q"), array("l")

    @classmethod
    def of(cls, cuts: Iterable[Cut]) -> CutTable:
        """A table of cuts that are in memory, and stay there; a table stays as it is."""
        if isinstance(cuts, CutTable):
            return cuts
        table = cls()
        table._kept = list(cuts)
        table._durations.extend(cut.duration for cut in table._kept)
        return table

    def add(self, cut: Cut, place: Place) -> None:
        """Adds a cut, which can be read again at its place."""
        if len(self) < KEPT:
            self._kept.append(cut)
        if not self._files or self._files[-1] != place.file:
            self._files.append(place.file)
        self._durations.append(cut.duration)
        self._file.append(len(self._files) - 1)
        self._block.append(place.block)
        self._line.append(place.line)

    @property
    def durations(self) -> NDArray[np.float64]:
        """Seconds of each cut, float64 (N,): no copy, and no cut can be added while it is there."""
        return np.asarray(self._durations, dtype=np.float64)

    def longest_first(self) -> ChosenCuts:
        """All cuts so that memory runs out at the start if it does."""
        return self.some(slice(None)).longest_first()

    def read(self, positions: Iterable[int]) -> Iterator[Cut]:
        """The cuts at these positions, in this order. Neighbours in a manifest are read together."""
        for block, members in groupby(map(int, positions), key=self._block_of):
            if block is None:
                yield from map(self._kept.__getitem__, members)
                continue
            assert self._read_block is not None
            lines = [self._line[position] for position in members]
            wanted = sorted(set(lines))
            found = dict(zip(wanted, self._read_block(*block, wanted)))
            yield from map(found.__getitem__, lines)

    def _block_of(self, position: int) -> Optional[tuple[Path, int]]:
        if position < len(self._kept):
            return None
        return self._files[self._file[position]], self._block[position]

    def __iter__(self) -> Iterator[Cut]:
        return self.read(range(len(self)))

    def __len__(self) -> int:
        return len(self._durations)

    def one(self, position: int) -> Cut:
        """As `LazySequence` has it."""
        return next(self.read([position]))

    def some(self, positions: slice) -> ChosenCuts:
        """As `LazySequence` has it."""
        return ChosenCuts(self, np.arange(len(self))[positions])


class ChosenCuts(LazySequence[Cut]):
    """Some cuts of a table, in an order of their own: those at `positions`, integers (N,)."""

    def __init__(self, table: CutTable, positions: NDArray[np.int64]) -> None:
        self.table = table
        self.positions = positions

    def longest_first(self) -> ChosenCuts:
        """The same, so that memory runs out at the start if it does."""
        durations = self.table.durations[self.positions]
        return ChosenCuts(self.table, self.positions[np.argsort(-durations, kind="stable")])

    def __iter__(self) -> Iterator[Cut]:
        return self.table.read(self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def one(self, position: int) -> Cut:
        """As `LazySequence` has it."""
        return self.table.one(int(self.positions[position]))

    def some(self, positions: slice) -> ChosenCuts:
        """As `LazySequence` has it."""
        return ChosenCuts(self.table, self.positions[positions])
