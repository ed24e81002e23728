"""How sure a word error rate is."""

from __future__ import annotations

from collections.abc import Sequence

import kaldialign

from hra_cli.scoring.wer import Utterance

REPLICATIONS = 10_000


def wer_interval(utterances: Sequence[Utterance]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the WER in per cent, over utterances (Bisani and Ney 2004), as kaldialign
    computes it; the same for the same utterances."""
    if not any(utterance.ref for utterance in utterances):
        return 0.0, 0.0
    ordered = sorted(utterances, key=lambda utterance: utterance.id)
    found = kaldialign.bootstrap_wer_ci(
        [utterance.ref for utterance in ordered],
        [utterance.hyp for utterance in ordered],
        replications=REPLICATIONS,
    )
    return 100.0 * max(found["ci95min"], 0.0), 100.0 * found["ci95max"]
