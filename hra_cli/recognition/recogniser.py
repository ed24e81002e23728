"""A recogniser: an adapted model that decodes cuts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import torch
from lhotse import CutSet

from hra_cli.data.batches import (
    Batch,
    batches_in_order,
    decoding_batches,
    load_batches,
    load_readable_batches,
    task_of,
)
from hra_cli.data.skipped import Skipped
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.latency import Latency
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.search import search
from hra_cli.transducer.search_options import SearchOptions


class Recogniser(AdaptedModel):
    """A frozen recogniser and the heads that it serves."""

    @torch.no_grad()
    def decode(
        self,
        cuts: CutSet,
        method: str = DecodeConfig.decoding_method,
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        max_duration: float = DecodeConfig.max_duration,
        num_workers: int = DecodeConfig.num_workers,
    ) -> Iterator[list[Utterance]]:
        """Decodes cuts, longest first, batch by batch of `max_duration` seconds.

        method: a name of transducer/names.py. Cuts of prepared data know their task; those of audio files get
        one from `batch.for_task`.

        Raises HraError for a cut that is too short, cannot be read, or whose task has no head that can be applied.
        """
        plan = decoding_batches(cuts, max_duration)
        self._check(plan)
        for batch in load_batches(plan, num_workers):
            yield self._decode_batch(batch, method, options)

    @torch.no_grad()
    def decode_in_order(
        self,
        cuts: CutSet,
        method: str = DecodeConfig.decoding_method,
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        max_duration: float = DecodeConfig.max_duration,
        num_workers: int = DecodeConfig.num_workers,
    ) -> Iterator[tuple[list[Utterance], list[Skipped]]]:
        """Decodes cuts in the given order, batch by batch: what was recognised, and which cuts cannot be read.

        As `decode` otherwise.
        """
        plan = batches_in_order(cuts, max_duration)
        self._check(plan)
        for batch in load_readable_batches(plan, num_workers):
            yield self._decode_batch(batch, method, options) if batch.ids else [], batch.unreadable

    @property
    def latency(self) -> Optional[Latency]:
        """Of what was recognised chunk by chunk; None for whole utterances."""
        return None

    def _check(self, plan: list[CutSet]) -> None:
        """All batches are checked before the first is decoded, so that no mistake ends a long decoding."""
        if self.adapter is not None:
            for cuts_of_batch in plan:
                self.adapter.check([task_of(cut) for cut in cuts_of_batch])

    def _decode_batch(self, batch: Batch, method: str, options: SearchOptions) -> list[Utterance]:
        encoder_out, lens = self.encode(batch)
        return self.utterances(batch, search(method, self.backbone, encoder_out, lens, options))
