"""The learning rate over a run."""

from __future__ import annotations

import math

WARM_UP = 0.25  # of the run, in which the learning rate rises


def learning_rate_factor(done: float) -> float:
    """The learning rate as a fraction of its peak, after the fraction `done` of the run.

    It rises linearly, then falls to zero along half a cosine.
    """
    if done < WARM_UP:
        return (done + 0.1 * WARM_UP) / (1.1 * WARM_UP)
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP)))
