"""Greedy search: the best symbol of every frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.search_interface import Hypothesis, Search
from hra_cli.transducer.search_options import SearchOptions


@dataclass(frozen=True)
class GreedyStream:
    """context (context_size,): the last tokens, on the device. num_frames: how many have been searched."""

    context: Tensor
    found: Hypothesis
    num_frames: int


class GreedySearch(Search[GreedyStream]):
    """The best symbol of every frame."""

    def __init__(self, backbone: Backbone, options: SearchOptions = SearchOptions()):  # noqa: B008 - frozen
        super().__init__(backbone, options)
        # Most frames emit nothing and leave the prediction as it is, so a CPU need not compute it again. On a GPU the
        # host would have to wait at every frame to know, which takes longer than the prediction.
        self.predict_always = backbone.device.type == "cuda"

    def start(self, streams: int) -> list[GreedyStream]:
        context = torch.tensor(self.initial_context(), device=self.backbone.device)
        return [GreedyStream(context, Hypothesis(), 0) for _ in range(streams)]

    @torch.no_grad()
    def advance(self, state: list[GreedyStream], encoder_out: Tensor, lens: Tensor) -> list[GreedyStream]:
        num_frames = encoder_out.shape[1]
        projected = self.backbone.joiner.encoder_proj(encoder_out)
        context = torch.stack([stream.context for stream in state])
        predicted = self.predict(context)
        emitted = torch.full((len(state), num_frames), BLANK, dtype=torch.int64, device=encoder_out.device)
        for frame in range(num_frames):
            symbols = self.logits(projected[:, frame], predicted).argmax(dim=-1).masked_fill(lens <= frame, BLANK)
            emits = symbols != BLANK
            if self.predict_always or bool(emits.any()):
                emitted[:, frame] = symbols
                shifted = torch.cat([context[:, 1:], symbols.unsqueeze(1)], dim=1)
                context = torch.where(emits.unsqueeze(1), shifted, context)
                predicted = self.predict(context)
        # Only now is a GPU waited for.
        return [
            GreedyStream(last_tokens, _longer(stream, symbols), stream.num_frames + length)
            for stream, last_tokens, symbols, length in zip(state, context, emitted.tolist(), lens.tolist())
        ]

    def finish(self, state: list[GreedyStream]) -> list[Hypothesis]:
        return [stream.found for stream in state]


def _longer(stream: GreedyStream, symbols: list[int]) -> Hypothesis:
    """What was found in the stream so far, extended by the symbols of its next frames."""
    emitting = [frame for frame, symbol in enumerate(symbols) if symbol != BLANK]
    return Hypothesis(
        stream.found.tokens + [symbols[frame] for frame in emitting],
        stream.found.frames + [stream.num_frames + frame for frame in emitting],
    )
