"""The lattice and the pruning bounds, against every path written out."""

import math
from itertools import combinations, combinations_with_replacement

import pytest
import torch

from hra_cli.transducer.lattice import Alignments
from hra_cli.transducer.pruning import prune_ranges

TOKENS, FRAMES = [2, 0, 3, 1], [5, 3, 4, 1]


def arcs():
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(4, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2)]


def paths(tokens, frames, regular):
    """Every path, as the frame on which each token is emitted."""
    return (combinations_with_replacement if regular else combinations)(range(frames), tokens)


def arcs_of(path, frames, regular):
    """The nodes from which a path takes a token and those from which it takes blank."""
    emits = [(s, t) for s, t in enumerate(path)]
    blanks = [(sum(at < t + regular for at in path), t) for t in range(frames) if regular or t not in path]
    return emits, blanks


@pytest.mark.parametrize("regular", [True, False])
def test_the_score_is_that_of_all_paths_and_arcs_are_taken_as_often_as_paths_take_them(regular):
    emit, blank = arcs()
    scores, emitted, passed = Alignments.apply(emit, blank, torch.tensor(TOKENS), torch.tensor(FRAMES), regular)
    for n, (tokens, frames) in enumerate(zip(TOKENS, FRAMES)):
        all_paths = [arcs_of(path, frames, regular) for path in paths(tokens, frames, regular)]
        weights = [
            math.exp(sum(emit[n, s, t].item() for s, t in emits) + sum(blank[n, s, t].item() for s, t in blanks))
            for emits, blanks in all_paths
        ]
        assert scores[n].item() == pytest.approx(math.log(sum(weights)), rel=1e-12)
        for kind, taken in enumerate((emitted, passed)):
            expected = torch.zeros(4, 5, dtype=torch.float64)
            for path, weight in zip(all_paths, weights):
                for s, t in path[kind]:
                    expected[s, t] += weight / sum(weights)
            assert torch.allclose(taken[n], expected, atol=1e-12)


@pytest.mark.parametrize("regular", [True, False])
def test_how_often_an_arc_is_taken_is_the_scores_gradient(regular):
    tokens, frames = torch.tensor(TOKENS), torch.tensor(FRAMES)
    emit, blank = (arc.requires_grad_() for arc in arcs())
    torch.autograd.gradcheck(lambda *x: Alignments.apply(*x, tokens, frames, regular)[0], (emit, blank))


@pytest.mark.parametrize("regular", [True, False])
def test_long_utterances_in_float32_are_as_exact_as_in_float64(regular):
    generator = torch.Generator().manual_seed(6)
    exact = [torch.randn(2, 81, 900, generator=generator, dtype=torch.float64) - 5 for _ in range(2)]
    ends = torch.tensor([80, 60]), torch.tensor([900, 800])
    rounded = [arc.float() for arc in exact]
    found = Alignments.apply(*rounded, *ends, regular)
    assert [one.dtype for one in found] == [torch.float32, torch.float64, torch.float64]
    for one, other in zip(found, Alignments.apply(*(arc.double() for arc in rounded), *ends, regular)):
        assert torch.allclose(one.double(), other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("regular", [True, False])
def test_windows_lead_from_the_first_position_to_the_last(regular):
    generator = torch.Generator().manual_seed(7)
    tokens, frames = torch.tensor([12, 4, 0, 9]), torch.tensor([30, 25, 7, 10])
    emitted, passed = torch.rand(2, 4, 13, 30, generator=generator)
    first = prune_ranges(emitted, passed, tokens, frames, 5, regular)
    for n in range(4):
        own = first[n, : frames[n]]
        assert own[0] == 0
        steps = own.diff()
        assert int(steps.min()) >= 0
        assert int(steps.max()) <= (4 if regular else 1)
        assert own[-1] <= tokens[n] <= own[-1] + 4
