"""Greedy search, modified beam search and k2's fast beam search."""

import itertools
import json
import sys

import pytest
import torch
from builders import random_adapter, random_features, refused, tiny_backbone
from safetensors.torch import load_file
from searches import SEARCHES

from hra_cli.backbone.model import load_backbone
from hra_cli.transducer.names import SEARCHES as NAMES
from hra_cli.transducer.search import METHODS, check_method, new_search, search
from hra_cli.transducer.search_options import SearchOptions

LENS = [150, 14, 61, 98, 33, 20, 75]


def talkative():
    """A random recogniser that emits on about half of all frames."""
    backbone = tiny_backbone(seed=1)
    with torch.no_grad():
        backbone.joiner.output_linear.bias[0] += 2.0
    return backbone


@pytest.fixture(scope="module")
def backbone():
    return talkative()


def tokens_of(*arguments):
    return [one.tokens for one in search(*arguments)]


def encode(backbone, lens=LENS, adapter=None, tasks=None):
    with torch.no_grad():
        return backbone.encode(*random_features(lens), adapter and adapter.for_tasks(tasks))


def alone(method, backbone, out, lens, options):
    """What is found in each utterance decoded by itself, from its own frames and nothing else."""
    found = []
    for n, length in enumerate(lens.tolist()):
        found += search(method, backbone, out[n : n + 1, :length], lens[n : n + 1], options)
    return found


@pytest.fixture(scope="module")
def recorded():
    """The speech model and what icefall's own searches found with it, once for all the tests."""
    return {}


def speech(recorded, shared):
    if not recorded:
        folder = shared / "fixtures" / "zipformer-tts-en"
        backbone = load_backbone(shared / "models" / "zipformer-tts-en")
        tensors = load_file(folder / "expected.safetensors")
        given = (tensors["features"], tensors["feature_lens"])
        with torch.no_grad():
            recorded["tokens"] = backbone.encode(*given, icefall_padding=True)
            recorded["tokens_alone"] = backbone.encode(*given)
        recorded["backbone"] = backbone
        recorded["expected"] = json.loads((folder / "expected.json").read_text())
    return recorded


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("key", ["tokens", "tokens_alone"])
def test_tokens_equal_icefall(shared, recorded, key, method):
    """tokens: all in one of icefall's batches, whose padding leaks; tokens_alone: each utterance by itself."""
    model = speech(recorded, shared)
    expected = model["expected"][key][method]
    assert len(expected) == 24
    assert tokens_of(method, model["backbone"], *model[key]) == expected


def test_leaking_padding_costs_words(shared, recorded):
    """Else the two cases above would be one."""
    expected = speech(recorded, shared)["expected"]
    for method in METHODS:
        assert expected["tokens"][method] != expected["tokens_alone"][method]


@pytest.mark.parametrize("method", SEARCHES)
def test_recorded_speech_is_decoded_in_a_batch_as_alone(shared, recorded, method):
    model = speech(recorded, shared)
    tensors = load_file(shared / "fixtures" / "zipformer-tts-en" / "expected.safetensors")
    picked = [0, 3, 11, 13, 19]
    tokens = [tokens_of(method, model["backbone"], *model["tokens_alone"])[n] for n in picked]
    for n, expected in zip(picked, tokens):
        length = tensors["feature_lens"][n : n + 1]
        with torch.no_grad():
            out, lens = model["backbone"].encode(tensors["features"][n : n + 1, : length[0]], length)
        assert tokens_of(method, model["backbone"], out, lens) == [expected]


@pytest.mark.parametrize("method", SEARCHES)
def test_recorded_speech_in_chunks_is_what_it_is_at_once(shared, recorded, method):
    """Chunks of 8 frames, as a streaming recogniser's of 0.32 s are."""
    model = speech(recorded, shared)
    out, lens = model["tokens_alone"]
    chosen = new_search(method, model["backbone"])
    state = chosen.start(len(out))
    for begin in range(0, out.shape[1], 8):
        state = chosen.advance(state, out[:, begin : begin + 8], (lens - begin).clamp(0, 8))
    assert chosen.finish(state) == search(method, model["backbone"], out, lens)


@pytest.mark.parametrize("method", SEARCHES)
def test_a_random_model_emits_tokens(backbone, method):
    """Else the tests below would compare nothing."""
    out, lens = encode(backbone)
    tokens = tokens_of(method, backbone, out, lens)
    assert 10 < len(tokens[0]) < lens[0]
    assert len({token for utterance in tokens for token in utterance}) > 5
    assert all(0 < token < backbone.sizes.vocab_size for utterance in tokens for token in utterance)


@pytest.mark.parametrize("method", SEARCHES)
def test_a_batch_gives_the_tokens_that_each_utterance_has_alone(backbone, method):
    out, lens = encode(backbone)
    for n, length in enumerate(lens.tolist()):
        out[n, length:] = 3.0
    options = SearchOptions()
    assert search(method, backbone, out, lens, options) == alone(method, backbone, out, lens, options)


@pytest.mark.parametrize("head", ["linear", "ffn"])
@pytest.mark.parametrize("method", SEARCHES)
def test_a_batch_of_different_tasks_gives_the_tokens_that_each_utterance_has_alone(backbone, method, head):
    adapter = random_adapter(["ann", "bob", "cho"], backbone.width, head)
    tasks = ["cho", "ann", "bob", "bob", "ann", "cho", "ann"]
    together = search(method, backbone, *encode(backbone, LENS, adapter, tasks))
    features, feature_lens = random_features(LENS)
    for n, task in enumerate(tasks):
        with torch.no_grad():
            out, lens = backbone.encode(
                features[n : n + 1, : LENS[n]], feature_lens[n : n + 1], adapter.for_tasks([task])
            )
        assert search(method, backbone, out, lens) == together[n : n + 1]
    assert together != search(method, backbone, *encode(backbone))


@pytest.mark.parametrize("method", SEARCHES)
def test_at_most_one_token_a_frame(backbone, method):
    out, lens = encode(backbone)
    for found, length in zip(search(method, backbone, out, lens), lens.tolist()):
        assert len(found.tokens) == len(found.frames) == len(set(found.frames)) <= length
        assert found.frames == sorted(found.frames)
        assert all(0 <= frame < length for frame in found.frames)
    eager = talkative()
    with torch.no_grad():
        eager.joiner.output_linear.bias[0] -= 9.0
    out, lens = encode(eager)
    counts = [len(tokens) for tokens in tokens_of(method, eager, out, lens)]
    if method == "fast_beam_search":  # k2 ends every path on a blank
        assert all(count < length for count, length in zip(counts, lens.tolist()))
        assert counts[0] == lens[0] - 1
    else:
        assert counts == lens.tolist()


@pytest.mark.parametrize("method", SEARCHES)
def test_blank_everywhere_is_no_tokens(method):
    silent = talkative()
    with torch.no_grad():
        silent.joiner.output_linear.bias[0] = 100.0
    out, lens = encode(silent)
    assert tokens_of(method, silent, out, lens) == [[] for _ in LENS]


@pytest.mark.parametrize("method", [one for one in SEARCHES if "fast_beam_search" in one.values])
def test_a_path_need_not_end_in_the_final_state(backbone, method):
    """With one state kept a frame, the final one is lost at the end."""
    out, lens = encode(backbone)
    assert all(tokens_of(method, backbone, out, lens, SearchOptions(max_states=1)))


@pytest.mark.parametrize("method", SEARCHES)
def test_an_utterance_of_one_frame(backbone, method):
    out, lens = encode(backbone, [9])
    assert lens.tolist() == [1]
    logits = backbone.joiner(out[0, 0], backbone.decoder(torch.tensor([[-1, 0]]), need_pad=False)[0, 0])
    assert int(logits.argmax()) > 0
    # k2's lattices end with a blank, for which a single frame leaves no room.
    expected = [] if method == "fast_beam_search" else [int(logits.argmax())]
    assert tokens_of(method, backbone, out, lens) == [expected]


@pytest.mark.parametrize("method", SEARCHES)
def test_a_search_leaves_the_encoder_output_alone(backbone, method):
    out, lens = encode(backbone)
    before = out.clone()
    first = search(method, backbone, out, lens)
    assert torch.equal(out, before)
    assert search(method, backbone, out, lens) == first


def test_a_beam_of_one_is_greedy_search(backbone):
    out, lens = encode(backbone)
    beam = search("modified_beam_search", backbone, out, lens, SearchOptions(beam_size=1))
    assert beam == search("greedy_search", backbone, out, lens)
    assert beam != search("modified_beam_search", backbone, out, lens, SearchOptions(beam_size=8))


@torch.no_grad()
def log_probability(backbone, out, tokens):
    """log P(tokens) over all alignments with at most one token a frame."""
    history = torch.tensor([[-1, 0, *tokens]])
    predicted = backbone.decoder(history, need_pad=False)[0]
    log_probs = backbone.joiner(out.unsqueeze(1), predicted.unsqueeze(0)).log_softmax(dim=-1).double()
    forward = [0.0] + [-float("inf")] * len(tokens)
    for frame in log_probs:
        stay = [score + frame[u, 0].item() for u, score in enumerate(forward)]
        move = [-float("inf")] + [forward[u] + frame[u, token].item() for u, token in enumerate(tokens)]
        forward = torch.logaddexp(torch.tensor(stay), torch.tensor(move)).tolist()
    return forward[-1]


def test_an_unlimited_beam_finds_the_best_sequence():
    """Two tokens over three frames: 15 sequences, all of which can be tried. The winner is the one of the highest
    log-probability per token, counted with the initial context of 2, over all of its alignments: the model is made
    unsure, so that the best single alignment is often another sequence's."""
    small = talkative()
    with torch.no_grad():
        small.joiner.output_linear.weight[1:3] = small.joiner.output_linear.weight[[2, 8]]
        small.joiner.output_linear.weight.mul_(0.5)
        small.joiner.output_linear.bias[0] -= 1.0
        small.joiner.output_linear.bias[3:] = -1000.0
    out, lens = encode(small, range(19, 131, 7))
    out, lens = out[:, :3], lens.clamp(max=3)
    sequences = [one for length in range(4) for one in itertools.product((1, 2), repeat=length)]
    assert len(sequences) == 15
    found = tokens_of("modified_beam_search", small, out, lens, SearchOptions(beam_size=30))
    for n, tokens in enumerate(found):
        scores = {one: log_probability(small, out[n], one) / (len(one) + 2) for one in sequences}
        assert tuple(tokens) == max(scores, key=scores.get)
    assert len({tuple(tokens) for tokens in found}) > 4


def test_every_search_that_is_named_is_there():
    assert list(METHODS) == list(NAMES)


def test_an_unknown_method_is_refused():
    for method in METHODS:
        check_method(method)
    with refused("no such --decoding-method: 'gready_search'; did you mean 'greedy_search'?"):
        check_method("gready_search")


def test_a_beam_wider_than_the_vocabulary_is_the_whole_vocabulary(backbone):
    out, lens = encode(backbone)
    vocab = backbone.sizes.vocab_size
    whole = tokens_of("modified_beam_search", backbone, out, lens, SearchOptions(beam_size=vocab))
    assert len(tokens_of("modified_beam_search", backbone, out, lens, SearchOptions(beam_size=vocab + 1))) == len(whole)


def test_a_beam_of_nothing_and_an_unknown_method_are_refused(backbone):
    with refused("--beam-size must be positive"):
        SearchOptions(beam_size=0)
    out, lens = encode(backbone)
    with refused("greedy_search"):
        search("gready_search", backbone, out, lens)


def test_without_k2_the_fast_search_says_what_to_install(backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "k2", None)
    out, lens = encode(backbone)
    assert tokens_of("greedy_search", backbone, out, lens)
    with refused(r"k2 cannot be imported with torch .*requirements/k2\.txt"):
        search("fast_beam_search", backbone, out, lens)
