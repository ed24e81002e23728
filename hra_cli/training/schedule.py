"""The learning rate over a run, and which of its steps are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 0.25  # of the run, in which the learning rate rises


@dataclass(frozen=True)
class Schedule:
    """keeps_mean: after the warm-up the rate stays, and the mean of the parameters over the steps since then is kept
    (`averaging.py`). Otherwise it falls to zero along half a cosine, and the last step is kept.
    """

    keeps_mean: bool

    def learning_rate_factor(self, done: float) -> float:
        """The learning rate as a fraction of its peak, after the fraction `done` of the run; it rises first."""
        if done < WARM_UP:
            return (done + 0.1 * WARM_UP) / (1.1 * WARM_UP)
        if self.keeps_mean:
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP)))

    def averages(self, done: float) -> bool:
        """Whether the step that is made after the fraction `done` of the run belongs to the mean."""
        return self.keeps_mean and done >= WARM_UP


LEARNING = Schedule(keeps_mean=True)  # of everything that a method trains
ONBOARDING = Schedule(keeps_mean=False)  # of a task's own parameters alone, whose few steps have to arrive
