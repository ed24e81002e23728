"""How sure a word error rate is, or a difference of two: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import kaldialign
import numpy as np
from numpy.typing import NDArray

from hra_cli.errors import HraError
from hra_cli.scoring.wer import Utterance, count_errors

REPLICATIONS = 10_000


def wer_interval(utterances: Sequence[Utterance]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the WER in per cent, over utterances (Bisani and Ney 2004), as kaldialign
    computes it; the same for the same utterances.

    Utterances without reference words are not sampled, since a sample of nothing else would have no WER. What was
    recognised in them is added to every sample. Raises HraError where there are no others.
    """
    ordered = _ordered([utterance for utterance in utterances if utterance.ref])
    if not ordered:
        raise HraError("there are no words to have a WER over; test on utterances with a text")
    inserted = sum(len(utterance.hyp) for utterance in utterances if not utterance.ref)
    beside = 100.0 * inserted / sum(len(utterance.ref) for utterance in ordered)
    found = kaldialign.bootstrap_wer_ci(
        [utterance.ref for utterance in ordered],
        [utterance.hyp for utterance in ordered],
        replications=REPLICATIONS,
    )
    return 100.0 * max(found["ci95min"], 0.0) + beside, 100.0 * found["ci95max"] + beside


def wer_difference(
    runs: Sequence[Sequence[Utterance]], others: Sequence[Sequence[Utterance]]
) -> tuple[float, float, float]:
    """The mean WER of `runs` less that of `others`, in per cent, and its 95 % bootstrap interval.

    runs, others: the models of several seeds each; of every model, what it recognised in the same utterances, at least
    one. The interval is over utterances and paired: a sample has the same utterances for all models (Bisani and Ney
    2004).
    """
    words = np.array([len(utterance.ref) for utterance in _ordered(runs[0])])
    errors = np.mean([_errors(run) for run in runs], axis=0) - np.mean([_errors(run) for run in others], axis=0)
    return _interval(errors, words)


# A task's errors and words.
Counts = tuple[int, int]


def wer_over_tasks(runs: Sequence[Mapping[str, Counts]]) -> tuple[float, float, float]:
    """The mean WER of the models of several seeds, in per cent, and its 95 % bootstrap interval over tasks.

    runs: of every model, errors and words of the same tasks, at least one. A sample has tasks with all that they said:
    it shows how far WER would be another with other speakers.
    """
    return _interval(_task_errors(runs), _task_words(runs))


def wer_difference_over_tasks(
    runs: Sequence[Mapping[str, Counts]], others: Sequence[Mapping[str, Counts]]
) -> tuple[float, float, float]:
    """The mean WER of `runs` less that of `others`, in per cent, and its paired 95 % bootstrap interval over tasks."""
    return _interval(_task_errors(runs) - _task_errors(others), _task_words(runs))


def _task_errors(runs: Sequence[Mapping[str, Counts]]) -> NDArray[np.float64]:
    """(tasks,), the mean over the runs."""
    errors: NDArray[np.float64] = np.mean([[run[task][0] for task in sorted(runs[0])] for run in runs], axis=0)
    return errors


def _task_words(runs: Sequence[Mapping[str, Counts]]) -> NDArray[np.int64]:
    return np.array([runs[0][task][1] for task in sorted(runs[0])])


def _interval(errors: NDArray[np.float64], words: NDArray[np.int64]) -> tuple[float, float, float]:
    """100 × errors over words, and its 95 % interval over what is sampled; errors and words (N,) of each."""
    generator = np.random.default_rng(0)
    samples = (generator.integers(len(words), size=len(words)) for _ in range(REPLICATIONS))
    found = [100.0 * errors[sample].sum() / max(words[sample].sum(), 1) for sample in samples]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(100.0 * errors.sum() / max(words.sum(), 1)), float(low), float(high)


def _ordered(utterances: Sequence[Utterance]) -> list[Utterance]:
    return sorted(utterances, key=lambda utterance: utterance.id)


def _errors(utterances: Sequence[Utterance]) -> list[int]:
    return [count_errors(utterance.ref, utterance.hyp).errors for utterance in _ordered(utterances)]
