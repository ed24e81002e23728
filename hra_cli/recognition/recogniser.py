"""A recogniser: an adapted model that decodes cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import torch
from lhotse.cut import Cut

from hra_cli.data.batches import (
    Batch,
    batches_in_order,
    load_readable_batches,
    task_of,
    text_of,
    unreadable_cut,
)
from hra_cli.data.cut_table import CutTable
from hra_cli.data.skipped import Skipped
from hra_cli.recognition.assembly import Assembly, Finished
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.latency import Latency
from hra_cli.recognition.units import Units
from hra_cli.recognition.windows import Split, windows
from hra_cli.recognition.words import Word, timed_words
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.search import search
from hra_cli.transducer.search_interface import Hypothesis
from hra_cli.transducer.search_options import SearchOptions


@dataclass(frozen=True)
class Recognised:
    """After a batch: utterances that are now complete, the words of each with their times, cuts that cannot be read,
    and how many seconds of audio are done since the last batch."""

    utterances: list[Utterance]
    words: list[list[Word]]
    unreadable: list[Skipped]
    seconds: float


class Recogniser(AdaptedModel):
    """A frozen recogniser and the heads that it serves."""

    split: Split = staticmethod(windows)
    """How cuts are taken apart that are too long to be recognised at once."""

    def decode(
        self,
        cuts: Iterable[Cut],
        method: str = DecodeConfig.decoding_method,
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        max_duration: float = DecodeConfig.max_duration,
        num_workers: int = DecodeConfig.num_workers,
    ) -> Iterator[list[Utterance]]:
        """Decodes cuts of any length, longest first, batch by batch of `max_duration` seconds.

        method: a name of transducer/names.py. Cuts of prepared data know their task; those of audio files get
        one from `batch.for_task`.

        Raises HraError for a cut that is too short, cannot be read, or whose task has no head that can be applied.
        """
        for batch, _ in self.decode_with_progress(cuts, method, options, max_duration, num_workers):
            yield batch

    def decode_with_progress(
        self, cuts: Iterable[Cut], method: str, options: SearchOptions, max_duration: float, num_workers: int
    ) -> Iterator[tuple[list[Utterance], float]]:
        """As `decode`, and how many seconds of audio each batch was."""
        ordered = CutTable.of(cuts).longest_first()
        for finished in self._run(ordered, method, options, max_duration, num_workers, self.split):
            for one in finished.unreadable:
                raise unreadable_cut(one)
            yield [self._utterance(cut, found) for cut, found in finished.found], finished.seconds

    def decode_in_order(
        self,
        cuts: Iterable[Cut],
        method: str = DecodeConfig.decoding_method,
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        max_duration: float = DecodeConfig.max_duration,
        num_workers: int = DecodeConfig.num_workers,
        split: Optional[Split] = None,
    ) -> Iterator[Recognised]:
        """Decodes cuts in the given order, batch by batch, with the words' times, and says which cannot be read.

        split: in place of the recogniser's own. As `decode` otherwise.
        """
        for finished in self._run(list(cuts), method, options, max_duration, num_workers, split or self.split):
            yield Recognised(
                [self._utterance(cut, found) for cut, found in finished.found],
                [
                    timed_words(found, self._units, self.tokenizer, self.seconds_per_frame, cut.duration)
                    for cut, found in finished.found
                ],
                finished.unreadable,
                finished.seconds,
            )

    @property
    def latency(self) -> Optional[Latency]:
        """Of what was recognised chunk by chunk; None for whole utterances."""
        return None

    @cached_property
    def _units(self) -> Units:
        return Units(self.tokenizer)

    @torch.no_grad()
    def _run(
        self,
        cuts: Sequence[Cut],
        method: str,
        options: SearchOptions,
        max_duration: float,
        num_workers: int,
        split: Split,
    ) -> Iterator[Finished]:
        self._check(batches_in_order(cuts, max_duration))
        assembly = Assembly(split, self._units)
        plan = batches_in_order(assembly.pieces(cuts), max_duration)
        for batch in load_readable_batches(plan, num_workers):
            if batch.ids:
                for id_, found in zip(batch.ids, self._search(batch, method, options)):
                    assembly.add(id_, found)
            for one in batch.unreadable:
                assembly.fail(one)
            yield assembly.finished()
        yield assembly.finished()  # what had nothing to recognise

    def _check(self, plan: Iterable[Iterable[Cut]]) -> None:
        """All batches are checked before the first is decoded, so that no mistake ends a long decoding."""
        if self.adapter is not None:
            for cuts_of_batch in plan:
                self.adapter.check([task_of(cut) for cut in cuts_of_batch])

    def _search(self, batch: Batch, method: str, options: SearchOptions) -> list[Hypothesis]:
        encoder_out, lens = self.encode(batch)
        return search(method, self.backbone, encoder_out, lens, options)

    def _utterance(self, cut: Cut, found: Hypothesis) -> Utterance:
        return self.utterance(cut.id, task_of(cut), text_of(cut), found)
