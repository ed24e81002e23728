"""Fast beam search: the best path of the lattice that k2 builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.k2_library import import_k2
from hra_cli.transducer.search_interface import Hypothesis, Search
from hra_cli.transducer.search_options import SearchOptions


@dataclass(frozen=True)
class FastBeamStream:
    """searched: k2's RnntDecodingStream, to which k2 adds in place. num_frames: how many have been searched."""

    searched: Any
    found: Hypothesis
    num_frames: int


class FastBeamSearch(Search[FastBeamStream]):
    """k2's search over the trivial graph, in which every token may follow every other. Raises HraError without k2.

    k2 begins with blanks alone as context, and ends every path on the last frame, whatever that holds: no token is
    emitted there. After every stretch the best path is looked for from the stream's start, so many short stretches
    take long.
    """

    def __init__(self, backbone: Backbone, options: SearchOptions = SearchOptions()):  # noqa: B008 - frozen
        super().__init__(backbone, options)
        self._k2 = import_k2()
        vocab = backbone.sizes.vocab_size
        self._graph = self._k2.trivial_graph(vocab - 1, device=backbone.device)
        self._config = self._k2.RnntDecodingConfig(
            vocab_size=vocab,
            decoder_history_len=backbone.decoder.context_size,
            beam=options.beam,
            max_contexts=options.max_contexts,
            max_states=options.max_states,
        )

    def start(self, streams: int) -> list[FastBeamStream]:
        return [FastBeamStream(self._k2.RnntDecodingStream(self._graph), Hypothesis(), 0) for _ in range(streams)]

    @torch.no_grad()
    def advance(self, state: list[FastBeamStream], encoder_out: Tensor, lens: Tensor) -> list[FastBeamStream]:
        projected = self.backbone.joiner.encoder_proj(encoder_out)
        lengths = lens.tolist()
        longest = max(lengths, default=0)
        if longest == 0:
            return state
        # k2 gives paths only of streams that advanced together last. So all end with the stretch, and a stream of fewer
        # frames begins later.
        begins = [longest - length for length in lengths]
        changes = sorted({begin for begin in begins if begin < longest})
        for first, end in zip(changes, [*changes[1:], longest]):
            rows = [n for n, begin in enumerate(begins) if begin <= first]
            together = self._k2.RnntDecodingStreams([state[n].searched for n in rows], self._config)
            self._step_through(together, projected, rows, begins, range(first, end))
        # By now `rows` are all that have frames in this stretch.
        num_frames = [state[n].num_frames + lengths[n] for n in rows]
        after = list(state)
        for n, found, total in zip(rows, self._best_paths(together, num_frames), num_frames):
            after[n] = FastBeamStream(state[n].searched, found, total)
        return after

    def finish(self, state: list[FastBeamStream]) -> list[Hypothesis]:
        return [stream.found for stream in state]

    def _step_through(self, together: Any, projected: Tensor, rows: list[int], begins: list[int], steps: range) -> None:
        """At every step, one frame of each of the streams `rows`. projected (N, T, joiner_dim); begins: each stream's
        first step."""
        stream_of = torch.tensor(rows, device=projected.device)
        begin_of = torch.tensor([begins[n] for n in rows], device=projected.device)
        for step in steps:
            shape, contexts = together.get_contexts()
            row = shape.row_ids(1).to(torch.int64)
            frames = projected[stream_of[row], step - begin_of[row]]
            logits = self.logits(frames, self.predict(contexts.to(torch.int64)))
            together.advance(logits.log_softmax(dim=-1))
        together.terminate_and_flush_to_streams()

    def _best_paths(self, together: Any, num_frames: list[int]) -> list[Hypothesis]:
        # Partial paths count: where the last frame's final state was pruned, the whole utterance would come out empty.
        lattice = together.format_output(num_frames, allow_partial=True)
        best = self._k2.shortest_path(lattice, use_double_scores=True)
        labels = self._k2.RaggedTensor(
            best.arcs.shape().remove_axis(1), best.labels.clone(memory_format=torch.contiguous_format)
        )
        found = []
        for path in labels.tolist():  # an arc for every frame; the last leads to the final state and is labelled -1
            frames = [frame for frame, label in enumerate(path) if label > BLANK]
            found.append(Hypothesis([path[frame] for frame in frames], frames))
        return found
