"""How sure a word error rate is."""

import math
import random

import pytest
from builders import refused

from hra_cli.scoring.bootstrap import wer_difference, wer_difference_over_tasks, wer_interval, wer_over_tasks
from hra_cli.scoring.wer import Utterance, score

VOCABULARY = ["ONE", "TWO", "THREE", "FOUR", "FIVE"]


def utterance(number, ref, hyp):
    return Utterance(f"utt-{number:03}", "ann", ref.split(), hyp.split())


def some_utterances(count, seed=0, error_rate=0.2):
    """Utterances of one to nine words, of which some are recognised wrongly, left out or doubled."""
    chance = random.Random(seed)

    def heard(word):
        if chance.random() >= error_rate:
            return [word]
        return chance.choice([[], [word, word], ["WRONG"]])

    refs = [chance.choices(VOCABULARY, k=chance.randint(1, 9)) for _ in range(count)]
    return [
        Utterance(f"utt-{n:03}", "ann", ref, [said for word in ref for said in heard(word)])
        for n, ref in enumerate(refs)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_contains_the_wer_and_narrows_with_more_utterances(seed):
    few, many = some_utterances(20, seed), some_utterances(320, seed)
    widths = []
    for utterances in (few, many):
        low, high = wer_interval(utterances)
        assert 0.0 <= low < score(utterances).total.wer < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2  # about a quarter, by sixteen times as many


def test_the_interval_is_that_of_the_binomial_where_utterances_are_single_words():
    utterances = [utterance(n, "ONE", "ONE" if n % 4 else "TWO") for n in range(400)]
    low, high = wer_interval(utterances)
    deviation = 100 * math.sqrt(0.25 * 0.75 / 400)
    assert (low + high) / 2 == pytest.approx(25.0, abs=0.2)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.05)


def test_the_interval_is_the_same_every_time_and_in_any_order():
    utterances = some_utterances(50)
    shuffled = random.Random(1).sample(utterances, len(utterances))
    assert shuffled != utterances
    assert wer_interval(utterances) == wer_interval(utterances) == wer_interval(shuffled)


def test_without_errors_the_interval_is_zero():
    assert wer_interval([utterance(n, "ONE TWO", "ONE TWO") for n in range(10)]) == (0.0, 0.0)


def test_equal_utterances_leave_nothing_unsure():
    low, high = wer_interval([utterance(n, "ONE TWO THREE", "ONE TWO FOUR") for n in range(7)])
    assert low == pytest.approx(100 / 3)
    assert high == pytest.approx(100 / 3)


def test_an_interval_does_not_go_below_zero():
    utterances = [utterance(n, "ONE TWO", "ONE TWO" if n else "ONE") for n in range(3)]
    low, high = wer_interval(utterances)
    assert low == 0.0
    assert high > score(utterances).total.wer


def test_utterances_without_reference_words_keep_the_interval_finite():
    """A sample of nothing but those would have no WER."""
    utterances = [utterance(0, "ONE TWO", "ONE TWO"), utterance(1, "ONE TWO", "ONE FIVE"), utterance(2, "", "ONE")]
    low, high = wer_interval(utterances)
    assert math.isfinite(high)
    assert low < score(utterances).total.wer == 50.0 < high
    silent = [*utterances[:2], utterance(2, "", "")]
    assert wer_interval(silent) == wer_interval(utterances[:2])


@pytest.mark.parametrize("utterances", [[], [utterance(0, "", "")], [utterance(0, "", "ONE TWO")]])
def test_without_any_reference_word_there_is_no_wer_and_no_interval(utterances):
    assert score(utterances).total.wer is None
    with refused("there are no words to have a WER over"):
        wer_interval(utterances)


def worse(utterances, every):
    """The same with one more word wrong in one utterance of `every`."""
    return [
        Utterance(one.id, one.task, one.ref, [*one.hyp, "MORE"] if n % every == 0 else one.hyp)
        for n, one in enumerate(utterances)
    ]


def wer(utterances):
    return score(utterances).total.wer


def test_a_difference_in_the_same_utterances_is_seen_where_the_intervals_of_both_overlap():
    good = some_utterances(200)
    bad = worse(good, every=10)
    assert wer_interval(bad)[0] < wer_interval(good)[1]
    difference, low, high = wer_difference([bad], [good])
    assert difference == pytest.approx(wer(bad) - wer(good))
    assert 0.0 < low < difference < high
    backwards = wer_difference([good], [bad])
    assert backwards == pytest.approx((-difference, -high, -low))


def test_a_difference_that_is_chance_has_zero_in_its_interval():
    good = some_utterances(200)
    even = [Utterance(one.id, one.task, one.ref, one.ref) for one in good[::2]]
    odd = [Utterance(one.id, one.task, one.ref, one.ref) for one in good[1::2]]
    halves = sorted(even + good[1::2], key=lambda one: one.id), sorted(good[::2] + odd, key=lambda one: one.id)
    difference, low, high = wer_difference([halves[0]], [halves[1]])
    assert low < 0.0 < high
    assert low < difference < high


def test_runs_with_several_seeds_count_by_their_mean_in_any_order():
    runs = [some_utterances(50), worse(some_utterances(50), every=2)]
    other = worse(some_utterances(50), every=5)
    found = wer_difference(runs, [other])
    assert found[0] == pytest.approx((wer(runs[0]) + wer(runs[1])) / 2 - wer(other))
    assert found == wer_difference([runs[1][::-1], runs[0]], [other])
    assert wer_difference(runs, runs) == (0.0, 0.0, 0.0)


# Over tasks


def test_over_tasks_the_interval_is_as_wide_as_speakers_differ():
    """Each with so many errors of 100 words: sure of what every one of them does, and not of the next one."""
    alike = {f"speaker {number}": (20, 100) for number in range(16)}
    apart = {f"speaker {number}": (40 * (number % 2), 100) for number in range(16)}
    assert wer_over_tasks([alike]) == (20.0, 20.0, 20.0)
    wer, low, high = wer_over_tasks([apart])
    assert wer == 20.0
    assert (high - low) / 2 == pytest.approx(1.96 * 20 / 16**0.5, rel=0.05)
    assert wer_over_tasks([apart, alike])[0] == 20.0
    more = {f"speaker {number}": (40 * (number % 2), 100) for number in range(64)}
    assert wer_over_tasks([more])[2] - wer_over_tasks([more])[1] == pytest.approx((high - low) / 2, rel=0.1)


def test_over_tasks_a_difference_is_paired():
    """Speakers differ much, and one model is 5 % better for every one of them."""
    hard = {f"speaker {number}": (5 + 10 * number, 100) for number in range(9)}
    better = {task: (errors - 5, words) for task, (errors, words) in hard.items()}
    assert wer_difference_over_tasks([better], [hard]) == pytest.approx((-5.0, -5.0, -5.0))
    value, low, high = wer_difference_over_tasks([better, hard], [hard, hard])
    assert (value, low, high) == pytest.approx((-2.5, -2.5, -2.5))
    other = {task: (errors + (30 if task == "speaker 0" else -10), words) for task, (errors, words) in hard.items()}
    value, low, high = wer_difference_over_tasks([other], [hard])
    assert low < value < 0 < high, "one speaker may be what it depends on"


def test_over_tasks_a_task_with_many_words_counts_more():
    assert wer_over_tasks([{"a": (90, 900), "b": (50, 100)}])[0] == pytest.approx(14.0)
    assert wer_over_tasks([{"a": (0, 0)}]) == (0.0, 0.0, 0.0)
