"""Modified beam search: the best token sequences, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.search_interface import Hypothesis, Search


class Scored(NamedTuple):
    """How a token sequence came about. score: its log-probability; where equal sequences were merged, of all together.
    frames: on which its tokens were emitted; where equal sequences were merged, in the more probable one."""

    score: float
    frames: tuple[int, ...]


# Token sequences, each with the initial context before it.
Beam = dict[tuple[int, ...], Scored]


@dataclass(frozen=True)
class BeamStream:
    """num_frames: how many have been searched."""

    beam: Beam
    num_frames: int


class ModifiedBeamSearch(Search[BeamStream]):
    """The `beam_size` best token sequences, frame by frame; equal sequences are merged. The winner has the highest
    log-probability per token, counted with the initial context."""

    def start(self, streams: int) -> list[BeamStream]:
        nothing = tuple(self.initial_context())
        return [BeamStream({nothing: Scored(0.0, ())}, 0) for _ in range(streams)]

    @torch.no_grad()
    def advance(self, state: list[BeamStream], encoder_out: Tensor, lens: Tensor) -> list[BeamStream]:
        projected = self.backbone.joiner.encoder_proj(encoder_out)
        beams = [stream.beam for stream in state]
        lengths = lens.tolist()
        for frame in range(max(lengths, default=0)):
            active = [n for n, length in enumerate(lengths) if frame < length]
            best, choices = self._best(projected[:, frame], [beams[n] for n in active], active)
            for n, scores, chosen in zip(active, best.tolist(), choices.tolist()):
                beams[n] = self._next(beams[n], scores, chosen, state[n].num_frames + frame)
        return [BeamStream(beam, stream.num_frames + length) for beam, stream, length in zip(beams, state, lengths)]

    def finish(self, state: list[BeamStream]) -> list[Hypothesis]:
        context_size = self.backbone.decoder.context_size
        found = []
        for stream in state:
            tokens, path = max(stream.beam.items(), key=lambda item: item[1].score / len(item[0]))
            found.append(Hypothesis(list(tokens[context_size:]), list(path.frames)))
        return found

    def _best(self, projected: Tensor, beams: list[Beam], rows: list[int]) -> tuple[Tensor, Tensor]:
        """The best continuations of every beam, best first: their scores, and which they are, both (beams, beam_size).

        A continuation is the number of its sequence in the beam times the vocabulary's size, plus the symbol.
        projected (N, joiner_dim): a frame of every stream. rows: the beams' streams.
        """
        vocab, device = self.backbone.sizes.vocab_size, projected.device
        context_size = self.backbone.decoder.context_size
        sequences = [(row, tokens, path.score) for row, beam in zip(rows, beams) for tokens, path in beam.items()]
        contexts = torch.tensor([tokens[-context_size:] for _, tokens, _ in sequences], device=device)
        stream = torch.tensor([row for row, _, _ in sequences], device=device)
        log_probs = self.logits(projected[stream], self.predict(contexts)).log_softmax(dim=-1).double()
        log_probs += torch.tensor([[score] for _, _, score in sequences], device=device)

        # One row per beam: the continuations of its sequences side by side, missing sequences at -inf.
        widest = max(map(len, beams))
        scores = log_probs.new_full((len(beams), widest * vocab), -math.inf)
        for into, of_beam in zip(scores, log_probs.split([len(beam) for beam in beams])):
            into[: of_beam.numel()] = of_beam.flatten()
        best, choices = scores.topk(min(self.options.beam_size, scores.shape[1]), dim=1)
        return best, choices

    def _next(self, beam: Beam, scores: list[float], choices: list[int], frame: int) -> Beam:
        """The beam after a frame: its sequences continued by the chosen symbols."""
        vocab = self.backbone.sizes.vocab_size
        before = list(beam.items())
        after: Beam = {}
        for score, choice in zip(scores, choices):
            if score == -math.inf:
                continue
            (tokens, path), symbol = before[choice // vocab], choice % vocab
            frames = path.frames
            if symbol != BLANK:
                tokens, frames = (*tokens, symbol), (*frames, frame)
            if tokens in after:  # scores fall, so the one that is there is the more probable
                better = after[tokens]
                score, frames = better.score + math.log1p(math.exp(score - better.score)), better.frames
            after[tokens] = Scored(score, frames)
        return after
