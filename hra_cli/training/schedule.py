"""The learning rate over a run."""

from __future__ import annotations

WARM_UP = 0.25  # of the run, in which the learning rate rises


def learning_rate_factor(done: float) -> float:
    """The learning rate as a fraction of its peak, after the fraction `done` of the run.

    It rises linearly, then stays: what is kept is the mean of the parameters over the steps since (`averaging.py`).
    """
    return min(1.0, (done + 0.1 * WARM_UP) / (1.1 * WARM_UP))
