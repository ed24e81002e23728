"""The learning rate over a run."""

from __future__ import annotations

import math

WARM_UP = 0.25  # of the run, in which the learning rate rises


def learning_rate_factor(done: float) -> float:
    """Of the peak, after the fraction `done` of the run: a linear rise, then half a cosine down to nothing."""
    if done < WARM_UP:
        return (done + 0.1 * WARM_UP) / (1.1 * WARM_UP)
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP)))
