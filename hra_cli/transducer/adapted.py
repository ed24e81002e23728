"""A frozen recogniser together with what adapts it to tasks: batches to encoder frames, and tokens to words."""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.frontend_cache import FrontendCache
from hra_cli.backbone.model import Backbone
from hra_cli.backbone.options import Chunking
from hra_cli.data.batches import Batch
from hra_cli.data.features import FRAME_SHIFT
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.nn.device import to_device
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.search_interface import Hypothesis


class AdaptedModel:
    """A frozen backbone, its tokenizer, and the parameters that adapt it to tasks.

    adapter None: the frozen model alone. frontend_cache: for features that stay the same from epoch to epoch. Every
    utterance is encoded with its own task's parameters, whatever else is in its batch.
    Raises HraError for a tokenizer of another recogniser.
    """

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        adapter: Optional[TaskAdapter] = None,
        frontend_cache: Optional[FrontendCache] = None,
    ):
        if tokenizer.vocab_size != backbone.sizes.vocab_size:
            raise HraError(
                f"{tokenizer.file} has {tokenizer.vocab_size} tokens, the recogniser {backbone.sizes.vocab_size}: "
                "they do not belong together"
            )
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.adapter = None if adapter is None else adapter.to(backbone.device)
        self.frontend_cache = frontend_cache

    def encode(self, batch: Batch, chunking: Optional[Chunking] = None) -> tuple[Tensor, Tensor]:
        """A batch on the host to encoder_out (N, T, C) at 25 Hz and its lengths (N,), both on the backbone's device.

        chunking: in place of the backbone's own. Raises HraError for a task without a head, and for an utterance that
        is too short for the encoder.
        """
        after_layer = None if self.adapter is None else self.adapter.for_tasks(batch.tasks)
        # The one place where batches, which are read on the host, go to a device. Lengths stay on the host: they decide
        # what is computed.
        features = to_device(batch.features, self.backbone.device)
        if self.frontend_cache is None:
            return self.backbone.encode(features, batch.feature_lens, after_layer, chunking=chunking)
        x, rows = self.frontend_cache.embed(features, batch.feature_lens, batch.ids)
        return self.backbone.encode_rows(x, rows, after_layer, chunking=chunking)

    def tokens(self, batch: Batch) -> list[list[int]]:
        """What was said in each utterance of a batch, as ids of tokens."""
        return [self.tokenizer.encode(text) for text in batch.texts]

    def utterances(self, batch: Batch, found: list[Hypothesis]) -> list[Utterance]:
        """The batch's utterances: what was said, and what a search found, as text, words, pieces and their times."""
        return [
            self.utterance(id_, task, text, one)
            for id_, task, text, one in zip(batch.ids, batch.tasks, batch.texts, found)
        ]

    def utterance(self, id_: str, task: str, said: str, found: Hypothesis) -> Utterance:
        """One utterance: what was said, and what a search found, as text, words, pieces and their times."""
        text = " ".join(self.tokenizer.decode(found.tokens).split())
        return Utterance(
            id=id_,
            task=task,
            ref=self.tokenizer.words(said),
            hyp=self.tokenizer.words(text),
            text=text,
            tokens=self.tokenizer.pieces(found.tokens),
            times=[round(frame * self.seconds_per_frame, 3) for frame in found.frames],
        )

    @property
    def seconds_per_frame(self) -> float:
        """From one encoder frame to the next."""
        return FRAME_SHIFT * self.backbone.sizes.subsampling
