"""What every search offers: streams of encoder frames in, stretch by stretch; tokens and their frames out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.search_options import SearchOptions


@dataclass
class Hypothesis:
    """Tokens that were recognised, and for each the encoder frame (25 Hz) on which it was emitted, counted from its
    stream's start."""

    tokens: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)


Stream = TypeVar("Stream")


class Search(ABC, Generic[Stream]):
    """A way to find tokens. At most one is emitted a frame, as in icefall's batched searches.

    A stream is one utterance. Its frames come in one stretch or in several, and its tokens are the same either way,
    whatever other streams are searched beside it. The state of a search is a list with an item per stream: a stream
    joins with `state + search.start(1)`, and leaves when its item is taken out. Row n of `encoder_out` is of item n.
    """

    def __init__(self, backbone: Backbone, options: SearchOptions = SearchOptions()):  # noqa: B008 - frozen
        self.backbone = backbone
        self.options = options

    @abstractmethod
    def start(self, streams: int) -> list[Stream]:
        """The state of so many new streams, before their first frame."""

    @abstractmethod
    def advance(self, state: list[Stream], encoder_out: Tensor, lens: Tensor) -> list[Stream]:
        """The state after a stretch of frames; the one before may not be used again.

        encoder_out (N, T, C): the stretch, on the backbone's device. lens (N,) int64, there too: how many of its frames
        are the stream's, the first ones; 0 for a stream that has to wait.
        """

    @abstractmethod
    def finish(self, state: list[Stream]) -> list[Hypothesis]:
        """What was recognised in the frames so far. It changes nothing: after it a search may go on."""

    def initial_context(self) -> list[int]:
        """The context before the first token, context_size ids: -1, which is no token, and blank as the last."""
        return [-1] * (self.backbone.decoder.context_size - 1) + [BLANK]

    def predict(self, context: Tensor) -> Tensor:
        """context (N, context_size) int64, the last tokens: the prediction as the joiner takes it, (N, joiner_dim)."""
        predicted: Tensor = self.backbone.joiner.decoder_proj(self.backbone.decoder(context, need_pad=False)[:, 0])
        return predicted

    def logits(self, projected: Tensor, predicted: Tensor) -> Tensor:
        """Encoder frames and predictions, both (N, joiner_dim), to the joiner's logits, (N, vocab)."""
        logits: Tensor = self.backbone.joiner(projected, predicted, project_input=False)
        return logits
