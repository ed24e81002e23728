"""The plan of an epoch: which cuts go together, batch by batch, by what is known of them; they are read when wanted."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional, Union

import numpy as np
from lhotse import CutSet
from lhotse.cut import Cut, MonoCut
from lhotse.dataset import DynamicBucketingSampler, DynamicCutSampler
from numpy.typing import NDArray

from hra_cli.data.cut_table import ChosenCuts, CutTable
from hra_cli.data.lazy_sequence import LazySequence

MAX_BUCKETS = 10
# Which of some cuts one of several processes computes.
Part = Callable[[Sequence[Cut]], Sequence[Cut]]


class BatchPlan(LazySequence[CutSet]):
    """Batches of a table's cuts, which are read when their batch is asked for.

    positions (cuts,): where in the table each is, batch after batch. starts, ends (batches,): which of them a batch
    has. part: what this process computes of a batch whose cuts are the longest first; None: all of it.
    """

    def __init__(
        self,
        table: CutTable,
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        part: Optional[Part] = None,
    ) -> None:
        self.table = table
        self._positions = positions
        self._starts, self._ends = starts, ends
        self._part = part

    @classmethod
    def of(cls, table: CutTable, batches: Iterable[Iterable[Cut]]) -> BatchPlan:
        """The plan of these batches of stand-ins, see `StandIns`."""
        positions, ends = array("q"), array("q")
        for batch in batches:
            positions.extend(int(cut.id) for cut in batch)
            ends.append(len(positions))
        after = np.array(ends, dtype=np.int64)
        return cls(table, np.array(positions, dtype=np.int64), np.concatenate([[0], after])[:-1], after)

    def shuffled(self, shuffler: random.Random) -> BatchPlan:
        """The same batches in another order."""
        return self._at(_shuffled(len(self), shuffler))

    def part(self, part: Part) -> BatchPlan:
        """Of every batch what this process computes."""
        return BatchPlan(self.table, self._positions, self._starts, self._ends, part)

    def __len__(self) -> int:
        return len(self._ends)

    def one(self, number: int) -> CutSet:
        """As `LazySequence` has it."""
        cuts = ChosenCuts(self.table, self._positions[self._starts[number] : self._ends[number]])
        return CutSet.from_cuts(cuts if self._part is None else self._part(cuts.longest_first()))

    def some(self, numbers: slice) -> BatchPlan:
        """As `LazySequence` has it."""
        return self._at(numbers)

    def _at(self, numbers: Union[slice, NDArray[np.int64]]) -> BatchPlan:
        return BatchPlan(self.table, self._positions, self._starts[numbers], self._ends[numbers], self._part)


class StandIns:
    """For each cut, in the given order, one that knows how long it is and by its id where in the table it is: what a
    sampler of lhotse's plans by. Made as they are asked for."""

    def __init__(self, table: CutTable, positions: NDArray[np.int64]) -> None:
        self._durations = table.durations
        self._positions = positions

    def __iter__(self) -> Iterator[Cut]:
        for position in self._positions:
            yield MonoCut(id=str(position), start=0.0, duration=float(self._durations[position]), channel=0)


def training_batches(cuts: Iterable[Cut], max_duration: float, seed: int, epoch: int) -> BatchPlan:
    """The batches of one epoch, each cut once: cuts of similar length together, in a random order.

    Where there are only a few batches, their cuts are not sorted by length.

    The same (cuts, max_duration, seed, epoch) give the same batches. `max_duration` is seconds of audio per
    batch, padding included; as lhotse counts, a batch's last cut may exceed it, and a longer cut is a batch of
    its own.
    """
    table = CutTable.of(cuts)
    # A string, since `seed + epoch` would give epoch 2 of seed 1 the order of epoch 1 of seed 2.
    shuffler = random.Random(f"{seed} {epoch}")
    # lhotse shuffles within a buffer only; cuts come ordered by task and must be mixed across all of them.
    shuffled = StandIns(table, _shuffled(len(table), shuffler))
    # With less than two batches in a bucket, most batches would be the small rest of one.
    num_buckets = min(MAX_BUCKETS, len(table), int(table.durations.sum() / max_duration / 2))
    if num_buckets < 2:
        return _in_order(shuffled, table, max_duration)
    sampler = DynamicBucketingSampler(
        shuffled,
        max_duration=max_duration,
        shuffle=True,
        drop_last=False,
        num_buckets=num_buckets,
        seed=shuffler.getrandbits(32),
        world_size=1,
        rank=0,
    )
    # lhotse draws the buckets in the same order in every epoch. (Not with sync_buckets=False, but then it ends
    # the epoch at the first bucket that runs empty and so loses cuts.)
    return BatchPlan.of(table, sampler).shuffled(shuffler)


def decoding_batches(cuts: Iterable[Cut], max_duration: float) -> BatchPlan:
    """Every cut once, longest first; `max_duration` as in `training_batches`."""
    longest_first = CutTable.of(cuts).longest_first()
    return _in_order(StandIns(longest_first.table, longest_first.positions), longest_first.table, max_duration)


def _shuffled(number: int, shuffler: random.Random) -> NDArray[np.int64]:
    order: Any = np.arange(number)  # a list of ten million would be 400 MB
    shuffler.shuffle(order)
    return np.asarray(order)


def _in_order(stand_ins: StandIns, table: CutTable, max_duration: float) -> BatchPlan:
    return BatchPlan.of(table, DynamicCutSampler(stand_ins, max_duration=max_duration, world_size=1, rank=0))
