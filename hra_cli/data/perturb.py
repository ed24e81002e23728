"""Speed perturbation of training data, as icefall's recipes do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lhotse.cut import Cut
from lhotse.utils import fastcopy

from hra_cli.errors import HraError

SPEEDS = (0.9, 1.1)


def at_other_speeds(cuts: Iterable[Cut]) -> Iterator[Cut]:
    """Two copies of each cut, slower and faster; their ids end in _sp0.9 and _sp1.1. Raises HraError where there is no
    recording."""
    for cut in cuts:
        if not cut.has_recording:
            raise HraError(f"--perturb-speed needs recordings, and '{cut.id}' has only features; leave it out")
        without_features = fastcopy(cut, features=None)  # those of the other speed are other ones
        for speed in SPEEDS:
            yield without_features.perturb_speed(speed)
