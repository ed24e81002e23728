"""Batched searches over encoder frames: greedy, modified beam search, and k2's fast beam search.

All emit at most one token a frame, as icefall's batched searches do, and give every utterance the tokens that it
would have alone.
"""

from __future__ import annotations

import math
from typing import Callable

import torch
from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.errors import HraError, did_you_mean
from hra_cli.transducer.k2_library import import_k2
from hra_cli.transducer.search_options import SearchOptions

BLANK = 0


def search(
    method: str,
    backbone: Backbone,
    encoder_out: Tensor,
    encoder_out_lens: Tensor,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
) -> list[list[int]]:
    """Tokens of every utterance by `method`; encoder_out (N, T, C), encoder_out_lens (N,).

    Raises HraError for an unknown method.
    """
    check_method(method)
    return METHODS[method](backbone, encoder_out, encoder_out_lens, options)


def check_method(method: str) -> None:
    if method not in METHODS:
        raise HraError(f"no such --decoding-method: '{method}'{did_you_mean(method, METHODS)}")


@torch.no_grad()
def greedy_search(
    backbone: Backbone, encoder_out: Tensor, encoder_out_lens: Tensor, options: SearchOptions
) -> list[list[int]]:
    """The best symbol of every frame."""
    batch, num_frames, _ = encoder_out.shape
    projected = backbone.joiner.encoder_proj(encoder_out)
    context = _empty_context(backbone, batch, encoder_out.device)
    predicted = _predict(backbone, context)
    emitted = torch.full((batch, num_frames), BLANK, dtype=torch.int64, device=encoder_out.device)
    for frame in range(num_frames):
        logits = backbone.joiner(projected[:, frame], predicted, project_input=False)
        symbols = logits.argmax(dim=-1).masked_fill(encoder_out_lens <= frame, BLANK)
        emits = symbols != BLANK
        if bool(emits.any()):
            emitted[:, frame] = symbols
            shifted = torch.cat([context[:, 1:], symbols.unsqueeze(1)], dim=1)
            context = torch.where(emits.unsqueeze(1), shifted, context)
            predicted = _predict(backbone, context)
    return [[symbol for symbol in row if symbol != BLANK] for row in emitted.tolist()]


@torch.no_grad()
def modified_beam_search(
    backbone: Backbone, encoder_out: Tensor, encoder_out_lens: Tensor, options: SearchOptions
) -> list[list[int]]:
    """The `beam_size` best token sequences, frame by frame; equal sequences are merged. The winner has the highest
    log-probability per token, counted with the initial context."""
    batch, num_frames, _ = encoder_out.shape
    context_size = backbone.decoder.context_size
    projected = backbone.joiner.encoder_proj(encoder_out)
    vocab = backbone.sizes.vocab_size
    lens = encoder_out_lens.tolist()
    start = tuple([-1] * (context_size - 1) + [BLANK])
    beams: list[dict[tuple[int, ...], float]] = [{start: 0.0} for _ in range(batch)]
    for frame in range(num_frames):
        active = [n for n in range(batch) if frame < lens[n]]
        rows = [(n, tokens) for n in active for tokens in beams[n]]
        contexts = torch.tensor([tokens[-context_size:] for _, tokens in rows], device=encoder_out.device)
        utterance = torch.tensor([n for n, _ in rows], device=encoder_out.device)
        logits = backbone.joiner(projected[utterance, frame], _predict(backbone, contexts), project_input=False)
        log_probs = logits.log_softmax(dim=-1).double()
        log_probs += torch.tensor([[beams[n][tokens]] for n, tokens in rows], device=encoder_out.device)

        # One row per utterance: its hypotheses' continuations side by side, missing hypotheses at -inf.
        widest = max(len(beams[n]) for n in active)
        scores = log_probs.new_full((len(active), widest * vocab), -math.inf)
        row = 0
        for place, n in enumerate(active):
            size = len(beams[n])
            scores[place, : size * vocab] = log_probs[row : row + size].reshape(-1)
            row += size
        best, index = scores.topk(min(options.beam_size, scores.shape[1]), dim=1)
        for n, values, choices in zip(active, best.tolist(), index.tolist()):
            beams[n] = _extend(list(beams[n]), values, choices, vocab)
    return [list(_winner(beam)[context_size:]) for beam in beams]


def _extend(
    hypotheses: list[tuple[int, ...]], scores: list[float], choices: list[int], vocab: int
) -> dict[tuple[int, ...], float]:
    """The next beam: hypotheses continued by the chosen symbols, equal ones merged by adding probabilities."""
    extended: dict[tuple[int, ...], float] = {}
    for score, choice in zip(scores, choices):
        if score == -math.inf:
            continue
        tokens, symbol = hypotheses[choice // vocab], choice % vocab
        if symbol != BLANK:
            tokens = (*tokens, symbol)
        if tokens in extended:
            high, low = max(extended[tokens], score), min(extended[tokens], score)
            score = high + math.log1p(math.exp(low - high))
        extended[tokens] = score
    return extended


def _winner(beam: dict[tuple[int, ...], float]) -> tuple[int, ...]:
    return max(beam, key=lambda tokens: beam[tokens] / len(tokens))


@torch.no_grad()
def fast_beam_search(
    backbone: Backbone, encoder_out: Tensor, encoder_out_lens: Tensor, options: SearchOptions
) -> list[list[int]]:
    """The best path of the lattice that k2 builds over the trivial graph. Raises HraError without k2."""
    k2 = import_k2()
    device = encoder_out.device
    vocab = backbone.sizes.vocab_size
    graph = k2.trivial_graph(vocab - 1, device=device)
    config = k2.RnntDecodingConfig(
        vocab_size=vocab,
        decoder_history_len=backbone.decoder.context_size,
        beam=options.beam,
        max_contexts=options.max_contexts,
        max_states=options.max_states,
    )
    streams = k2.RnntDecodingStreams([k2.RnntDecodingStream(graph) for _ in range(encoder_out.shape[0])], config)
    projected = backbone.joiner.encoder_proj(encoder_out)
    for frame in range(encoder_out.shape[1]):
        shape, contexts = streams.get_contexts()
        predicted = _predict(backbone, contexts.to(torch.int64))
        utterance = shape.row_ids(1).to(torch.int64)
        logits = backbone.joiner(projected[utterance, frame], predicted, project_input=False)
        streams.advance(logits.log_softmax(dim=-1))
    streams.terminate_and_flush_to_streams()
    # Partial paths count: where the last frame's final state was pruned, the whole utterance would come out empty.
    lattice = streams.format_output(encoder_out_lens.tolist(), allow_partial=True)
    best = k2.shortest_path(lattice, use_double_scores=True)
    labels = k2.RaggedTensor(best.arcs.shape().remove_axis(1), best.labels.clone(memory_format=torch.contiguous_format))
    return [[label for label in row if label > 0] for row in labels.tolist()]


Search = Callable[[Backbone, Tensor, Tensor, SearchOptions], list[list[int]]]
METHODS: dict[str, Search] = {
    "greedy_search": greedy_search,
    "modified_beam_search": modified_beam_search,
    "fast_beam_search": fast_beam_search,
}


def _empty_context(backbone: Backbone, batch: int, device: torch.device) -> Tensor:
    """(N, context_size): nothing, then blank."""
    context = torch.full((batch, backbone.decoder.context_size), -1, dtype=torch.int64, device=device)
    context[:, -1] = BLANK
    return context


def _predict(backbone: Backbone, context: Tensor) -> Tensor:
    """context (N, context_size): the projected prediction (N, joiner_dim)."""
    return backbone.joiner.decoder_proj(backbone.decoder(context, need_pad=False)[:, 0])
