"""How sure a word error rate is."""

from __future__ import annotations

from collections.abc import Sequence

import kaldialign

from hra_cli.scoring.wer import Utterance

REPLICATIONS = 10_000


def wer_interval(utterances: Sequence[Utterance]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the WER in per cent, over utterances (Bisani and Ney 2004), as kaldialign
    computes it; the same for the same utterances.

    What is recognised in utterances without reference words counts the same in every sample: a sample of nothing else
    would have no WER.
    """
    ordered = sorted((utterance for utterance in utterances if utterance.ref), key=lambda utterance: utterance.id)
    inserted = sum(len(utterance.hyp) for utterance in utterances if not utterance.ref)
    beside = 100.0 * inserted / max(sum(len(utterance.ref) for utterance in ordered), 1)
    if not ordered:
        return beside, beside
    found = kaldialign.bootstrap_wer_ci(
        [utterance.ref for utterance in ordered],
        [utterance.hyp for utterance in ordered],
        replications=REPLICATIONS,
    )
    return 100.0 * max(found["ci95min"], 0.0) + beside, 100.0 * found["ci95max"] + beside
