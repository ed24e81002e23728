"""The frames on which tokens are emitted, against every way in which they could have been."""

import itertools

import pytest
import torch
from builders import random_features, tiny_backbone
from searches import SEARCHES

from hra_cli.transducer.search import search
from hra_cli.transducer.search_interface import Hypothesis

NUM_FRAMES = 5
# What the prediction network sees before the first token.
START, START_OF_K2 = (-1, 0), (0, 0)


@pytest.fixture(scope="module")
def few_tokens():
    """A recogniser that emits no token but 1 and 2, and five frames of 20 utterances (four of the first)."""
    backbone = tiny_backbone(seed=1)
    with torch.no_grad():
        backbone.joiner.output_linear.weight[1:3] = backbone.joiner.output_linear.weight[[2, 8]]
        backbone.joiner.output_linear.bias[0] += 1.0
        backbone.joiner.output_linear.bias[3:] = -1000.0
        out, lens = backbone.encode(*random_features([9 + 4 * n for n in range(3, 23)]))
    return backbone, out[:, :NUM_FRAMES].contiguous(), lens.clamp(max=NUM_FRAMES)


@torch.no_grad()
def score_tables(backbone, out, lens):
    """For every utterance and frame: the log-probabilities of 0, 1 and 2 by the last two tokens."""
    contexts = list(itertools.product((-1, 0, 1, 2), repeat=2))
    predicted = backbone.decoder(torch.tensor(contexts), need_pad=False)[:, 0]
    tables = backbone.joiner(out.unsqueeze(2), predicted).log_softmax(-1)[..., :3].tolist()
    return [
        [dict(zip(contexts, frame)) for frame in utterance[:length]] for utterance, length in zip(tables, lens.tolist())
    ]


def emitted(symbols):
    frames = [frame for frame, symbol in enumerate(symbols) if symbol]
    return Hypothesis([symbols[frame] for frame in frames], frames)


def all_paths(tables, start):
    """A symbol for every frame, and the log-probability of that; every way there is."""
    scores = {}
    for symbols in itertools.product((0, 1, 2), repeat=len(tables)):
        total, context = 0.0, start
        for table, symbol in zip(tables, symbols):
            total += table[context][symbol]
            context = (context[1], symbol) if symbol else context
        scores[symbols] = total
    return scores


def best(scores):
    return emitted(max(scores, key=scores.get))


def test_greedy_search_takes_the_best_symbol_of_every_frame(few_tokens):
    expected = []
    for tables in score_tables(*few_tokens):
        symbols, context = [], START
        for table in tables:
            symbols.append(max((0, 1, 2), key=table[context].__getitem__))
            context = (context[1], symbols[-1]) if symbols[-1] else context
        expected.append(emitted(symbols))
    assert len({tuple(one.frames) for one in expected}) > 3
    assert search("greedy_search", *few_tokens) == expected


def test_modified_beam_search_takes_the_best_path_of_its_tokens(few_tokens):
    """On this model; where several paths of the same tokens are nearly as good, merging may keep another of them."""
    found = search("modified_beam_search", *few_tokens)
    for one, tables in zip(found, score_tables(*few_tokens)):
        scores = all_paths(tables, START)
        assert one == best({path: score for path, score in scores.items() if emitted(path).tokens == one.tokens})
    assert len({tuple(one.frames) for one in found}) > 3


@pytest.mark.parametrize("method", [one for one in SEARCHES if "fast_beam_search" in one.values])
def test_fast_beam_search_takes_the_best_path_to_the_last_frame(few_tokens, method):
    """k2's way to the final state: on the last frame, whatever is there."""
    found = search(method, *few_tokens)
    for one, tables in zip(found, score_tables(*few_tokens)):
        assert one == best(all_paths(tables[:-1], START_OF_K2))
    assert len({tuple(one.frames) for one in found}) > 3
