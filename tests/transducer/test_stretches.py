"""Streams of which the frames come in stretches, as they do when speech is recognised while it is spoken."""

import random

import pytest
import torch
from builders import random_features, tiny_backbone
from searches import SEARCHES

from hra_cli.transducer.search import new_search, search

LENS = [150, 14, 61, 98, 33, 20, 75]


@pytest.fixture(scope="module")
def encoded():
    """A random recogniser that emits on about half of all frames, and the frames of seven utterances."""
    backbone = tiny_backbone(seed=1)
    with torch.no_grad():
        backbone.joiner.output_linear.bias[0] += 2.0
        return backbone, *backbone.encode(*random_features(LENS))


@pytest.fixture(scope="module")
def whole(encoded):
    """What each search finds when all frames come at once."""
    found = {}

    def of(method):
        if method not in found:
            found[method] = search(method, *encoded)
        return found[method]

    return of


def stretch(out, begins, lens):
    """Of each stream `lens` frames from `begins` on, as a batch; what pads it is noise."""
    padded = torch.randn(len(begins), max(lens), out.shape[2])
    for n, (begin, length) in enumerate(zip(begins, lens)):
        padded[n, :length] = out[n, begin : begin + length]
    return padded, torch.tensor(lens)


def plan(kind, lens):
    """How many frames of each stream come in every stretch, until all have come."""
    rest, chooser, steps = list(lens), random.Random(kind), []
    while any(rest):
        if isinstance(kind, int):
            step = [kind] * len(rest)
        elif kind == "one after the other":
            step = [3 if n == next(n for n, left in enumerate(rest) if left) else 0 for n in range(len(rest))]
        else:
            step = [chooser.choice([0, 1, 2, 5, 11]) for _ in rest]
        steps.append([min(new, left) for new, left in zip(step, rest)])
        rest = [left - new for left, new in zip(rest, steps[-1])]
    return [step for step in steps if any(step)]


@pytest.mark.parametrize("kind", [1, 4, 30, "any a", "any b", "one after the other"])
@pytest.mark.parametrize("method", SEARCHES)
def test_any_stretches_give_what_all_frames_at_once_give(encoded, whole, method, kind):
    backbone, out, lens = encoded
    chosen = new_search(method, backbone)
    state, seen = chosen.start(len(LENS)), [0] * len(LENS)
    steps = plan(kind, lens.tolist())
    assert len(steps) > 1
    for step in steps:
        state = chosen.advance(state, *stretch(out, seen, step))
        seen = [begin + new for begin, new in zip(seen, step)]
    assert seen == lens.tolist()
    assert chosen.finish(state) == whole(method)
    assert sum(len(one.tokens) for one in whole(method)) > 20


@pytest.mark.parametrize("method", SEARCHES)
def test_what_was_recognised_so_far_can_be_looked_at(encoded, whole, method):
    backbone, out, lens = encoded
    chosen = new_search(method, backbone)
    state = chosen.start(len(LENS))
    assert [one.tokens for one in chosen.finish(state)] == [[] for _ in LENS]
    first = lens.clamp(max=9)
    state = chosen.advance(state, out[:, :9], first)
    so_far = chosen.finish(state)
    assert so_far == search(method, backbone, out[:, :9], first)
    assert chosen.finish(state) == so_far
    state = chosen.advance(state, out[:, 9:], lens - first)
    assert chosen.finish(state) == whole(method) != so_far


@pytest.mark.parametrize("method", SEARCHES)
def test_a_stretch_without_frames_changes_nothing(encoded, method):
    backbone, out, lens = encoded
    chosen = new_search(method, backbone)
    state = chosen.advance(chosen.start(len(LENS)), out[:, :9], lens.clamp(max=9))
    so_far = chosen.finish(state)
    for nothing in (out[:, 9:12], out[:, :0]):
        state = chosen.advance(state, nothing, torch.zeros_like(lens))
        assert chosen.finish(state) == so_far


@pytest.mark.parametrize("method", SEARCHES)
def test_streams_join_and_leave_a_running_batch(encoded, whole, method):
    """Stream 0 is there from the start to its end; 3 joins it after ten frames, and 2 takes the place of 3."""
    backbone, out, lens = encoded
    chosen = new_search(method, backbone)
    state = chosen.advance(chosen.start(1), out[:1, :10], torch.tensor([10]))
    state += chosen.start(1)
    state = chosen.advance(state, *stretch(out[[0, 3]], [10, 0], [12, int(lens[3])]))
    first, third = state
    assert chosen.finish([third]) == [whole(method)[3]]
    state = [*chosen.start(1), first]
    state = chosen.advance(state, *stretch(out[[2, 0]], [0, 22], [int(lens[2]), int(lens[0]) - 22]))
    assert chosen.finish(state) == [whole(method)[2], whole(method)[0]]


class Waits:
    """How often the host asked for a tensor's values."""

    def __init__(self, monkeypatch):
        self.count = 0
        for name in ("__bool__", "__int__", "__float__", "item", "tolist", "nonzero", "cpu", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, self._counted(getattr(torch.Tensor, name)))

    def _counted(self, method):
        def counted(tensor, *arguments, **options):
            self.count += 1
            return method(tensor, *arguments, **options)

        return counted


def test_greedy_search_as_on_a_gpu_is_greedy_search_and_waits_only_at_the_end(encoded, whole, monkeypatch):
    backbone, out, lens = encoded
    chosen = new_search("greedy_search", backbone)
    assert not chosen.predict_always  # of a CPU every value can be seen at once
    chosen.predict_always = True
    state = chosen.start(len(LENS))
    waits = Waits(monkeypatch)
    state = chosen.advance(state, out, lens)
    assert waits.count <= 2 < out.shape[1]
    assert chosen.finish(state) == whole("greedy_search")

    waits.count, chosen.predict_always = 0, False
    chosen.advance(chosen.start(len(LENS)), out, lens)
    assert waits.count >= out.shape[1]  # else what is counted above is nothing
