"""Which chunks a run trains and validates with."""

import random
from collections import Counter

import pytest
from builders import refused

from hra_cli.backbone.options import Chunking
from hra_cli.experiment.chunk_plan import ChunkPlan

ICEFALL = ChunkPlan((16, 32, 64, -1), (64, 128, 256, -1))


def drawn(plan, seed=1, batches=400):
    return [plan.drawn(seed, number) for number in range(batches)]


def test_the_same_seed_draws_the_same_and_another_seed_something_else():
    random.seed(1)
    expected = drawn(ICEFALL)
    random.seed(2)
    assert drawn(ICEFALL) == expected
    assert [ICEFALL.drawn(1, number) for number in reversed(range(400))] == expected[::-1], "it remembers other draws"
    assert drawn(ICEFALL, seed=2) != expected


def test_every_pair_is_drawn_about_as_often():
    counts = Counter(drawn(ICEFALL, batches=1600))
    whole = counts.pop(Chunking(None, None))
    assert set(counts) == {Chunking(size, left) for size in (16, 32, 64) for left in (64, 128, 256, None)}
    assert 340 < whole < 460
    assert all(60 < count < 140 for count in counts.values())


def test_the_seeds_draws_are_not_those_of_the_next_seed_shifted():
    first, second = drawn(ICEFALL, seed=1), drawn(ICEFALL, seed=2)
    assert all(first[shift : shift + 100] != second[:100] for shift in range(300))


def test_a_drawn_left_context_is_a_chunk_at_least():
    assert set(drawn(ChunkPlan((16, 128), (64,)))) == {Chunking(16, 64), Chunking(128, 128)}
    assert set(drawn(ChunkPlan(128, (64, 256)))) == {Chunking(128, 128), Chunking(128, 256)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), Chunking(None, None)),
        ((32,), Chunking(32, None)),
        ((32, 64), Chunking(32, 64)),
        ((32, 16), Chunking(32, 16)),  # as in decoding
        ((32, 0), Chunking(32, 0)),
        ((-1,), Chunking(None, None)),
    ],
)
def test_one_number_is_used_in_every_batch_and_in_validation(given, expected):
    plan = ChunkPlan(*given)
    assert set(drawn(plan, batches=20)) == {expected}
    assert plan.in_use == expected


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (ICEFALL, (16, 64)),
        (ChunkPlan((-1, 32), (-1, 256)), (32, 256)),
        (ChunkPlan((64, 128), (32, 16)), (64, 64)),
        (ChunkPlan((16, -1)), (16, None)),
        (ChunkPlan((16, 32), 64, 32), (32, 64)),
        (ChunkPlan((16, 32), (64, 128), 32, 128), (32, 128)),
        (ChunkPlan((16, 32), (64, 128), 32, -1), (32, None)),
        (ChunkPlan((16, 32), (64, 128), -1), (None, None)),
        (ChunkPlan(None, None, 32), (32, None)),
        (ChunkPlan(16, 64, None, 128), (16, 128)),
    ],
)
def test_validation_has_the_smallest_that_training_has_or_what_it_is_told(plan, expected):
    assert plan.in_use == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (((16, 0),), "--chunk-size must be positive, not 0"),
        (((16, -2),), "--chunk-size must be positive, not -2"),
        (((16, 10**12),), "--chunk-size must be at most"),
        (((),), "--chunk-size names none"),
        ((16, ()), "--left-context-frames names none"),
        (((16, 32), (64, 0)), "--left-context-frames must be positive, not 0"),
        (((16, 32), 0), "--left-context-frames must be positive, not 0"),
        ((16, -2), "--left-context-frames must be 0 or more, not -2"),
        ((None, (64, 128)), "--left-context-frames says what is seen before a chunk; it needs --chunk-size"),
        (((-1, -1), 64), "it needs --chunk-size"),
        ((16, 64, 0), "--validate-chunk-size must be positive, not 0"),
        ((16, 64, 16, -2), "--validate-left-context-frames must be 0 or more, not -2"),
        ((None, None, None, 64), "--validate-left-context-frames says what is seen before a chunk; validation is with"),
        (((16, -1), 64, -1, 64), "--validate-left-context-frames says what is seen before a chunk; validation is with"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with refused(said):
        ChunkPlan(*given)
