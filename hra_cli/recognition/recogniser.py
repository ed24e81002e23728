"""A recogniser: frozen backbone, tokenizer and heads together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import torch
from lhotse import CutSet
from torch import Tensor

from hra_cli.adapter.task_adapter import ByTask
from hra_cli.backbone import Backbone
from hra_cli.backbone.frontend_cache import FrontendCache
from hra_cli.data.batches import Batch, decoding_batches, load_batches, task_of
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.search import SearchOptions, search


class Recogniser:
    """A frozen recogniser and the heads that it serves.

    adapter None: the frozen model alone. Every cut is decoded with the head of its task, whatever else is in its
    batch.
    """

    def __init__(self, backbone: Backbone, tokenizer: Tokenizer, adapter: Optional[ByTask] = None):
        if tokenizer.vocab_size != backbone.sizes.vocab_size:
            raise HraError(
                f"bpe.model has {tokenizer.vocab_size} pieces, the recogniser {backbone.sizes.vocab_size}: "
                "they do not belong together"
            )
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.adapter = adapter
        self.frontend_cache: Optional[FrontendCache] = None  # for features that stay the same

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """encoder_out (N, T, C) and its lengths (N,). Raises HraError for a task without a head."""
        after_layer = None if self.adapter is None else self.adapter.for_tasks(batch.tasks)
        device = self.backbone.device
        features, lens = batch.features.to(device), batch.feature_lens.to(device)
        if self.frontend_cache is None:
            return self.backbone.encode(features, lens, after_layer)
        return self.backbone.encode_rows(*self.frontend_cache.embed(features, lens, batch.ids), after_layer)

    def utterances(self, batch: Batch, tokens: list[list[int]]) -> list[Utterance]:
        """References and hypotheses of a batch, word by word."""
        return [
            Utterance(id_, task, text.split(), self.tokenizer.decode(hyp).split())
            for id_, task, text, hyp in zip(batch.ids, batch.tasks, batch.texts, tokens)
        ]

    @torch.no_grad()
    def decode(
        self,
        cuts: CutSet,
        method: str = "greedy_search",
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        max_duration: float = 200.0,
        num_workers: int = 0,
    ) -> Iterator[list[Utterance]]:
        """Decodes cuts, longest first, batch by batch of `max_duration` seconds. Raises HraError for a cut that is too
        short, cannot be read, or whose task has no head that can be applied."""
        plan = decoding_batches(cuts, max_duration)
        if self.adapter is not None:
            # Of all batches before the first is decoded, so that no mistake ends a long decoding.
            for cuts_of_batch in plan:
                self.adapter.check([task_of(cut) for cut in cuts_of_batch])
        for batch in load_batches(plan, num_workers):
            encoder_out, lens = self.encode(batch)
            yield self.utterances(batch, search(method, self.backbone, encoder_out, lens, options))
