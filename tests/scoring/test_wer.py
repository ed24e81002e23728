import json

import pytest

from hra_cli.scoring.wer import ErrorCounts, Utterance, count_errors, score


@pytest.mark.parametrize(
    ("ref", "hyp", "insertions", "deletions", "substitutions"),
    [
        ("ONE TWO THREE", "ONE TWO THREE", 0, 0, 0),
        ("ONE TWO THREE", "ONE FOUR THREE", 0, 0, 1),
        ("ONE TWO THREE", "ONE THREE", 0, 1, 0),
        ("ONE TWO", "ONE FIVE TWO SIX", 2, 0, 0),
        ("ONE TWO", "", 0, 2, 0),
        ("", "ONE", 1, 0, 0),
        ("", "", 0, 0, 0),
        ("TURN THE LIGHT ON PLEASE", "TURN LIGHT OFF PLEASE NOW", 1, 1, 1),
    ],
)
def test_count_errors(ref, hyp, insertions, deletions, substitutions):
    counts = count_errors(ref.split(), hyp.split())
    assert counts == ErrorCounts(insertions, deletions, substitutions, len(ref.split()))
    assert counts.errors == insertions + deletions + substitutions


def test_a_star_is_a_word_like_any_other():
    assert count_errors(["*", "ONE"], ["ONE"]) == ErrorCounts(deletions=1, words=2)
    assert count_errors(["*"], ["*"]) == ErrorCounts(words=1)


def test_wer_is_in_per_cent_and_there_is_none_without_reference_words():
    assert ErrorCounts(insertions=1, deletions=1, substitutions=1, words=12).wer == 25.0
    assert ErrorCounts().wer is None
    assert ErrorCounts(insertions=2).wer is None


def test_counts_add_up():
    assert ErrorCounts(1, 2, 3, 10) + ErrorCounts(4, 5, 6, 20) == ErrorCounts(5, 7, 9, 30)


def test_scores_by_task_and_in_total():
    scores = score(
        [
            Utterance("u1", "it", ["ONE", "TWO"], ["ONE"]),
            Utterance("u2", "fr", ["ONE", "TWO", "SIX"], ["ONE", "TEN", "SIX"]),
            Utterance("u3", "it", ["NINE"], ["NINE", "NINE"]),
        ]
    )
    assert list(scores.tasks) == ["fr", "it"]
    assert scores.tasks["it"] == ErrorCounts(insertions=1, deletions=1, words=3)
    assert scores.tasks["fr"] == ErrorCounts(substitutions=1, words=3)
    assert scores.total == ErrorCounts(1, 1, 1, 6)
    assert json.loads(json.dumps(scores.as_json())) == {
        "total": {"wer": 50.0, "errors": 3, "words": 6},
        "tasks": {
            "fr": {"wer": 33.33, "errors": 1, "words": 3},
            "it": {"wer": 66.67, "errors": 2, "words": 3},
        },
    }


def test_no_utterances_score_zero():
    scores = score([])
    assert scores.as_json() == {"total": {"wer": None, "errors": 0, "words": 0}, "tasks": {}}
