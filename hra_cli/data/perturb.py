"""Speed perturbation of training data, as icefall's recipes do it."""

from __future__ import annotations

from lhotse import CutSet

SPEEDS = (0.9, 1.1)


def with_perturbed_speed(cuts: CutSet) -> CutSet:
    """The cuts, and for each training cut two more, slower and faster; their ids end in _sp0.9 and _sp1.1."""
    return CutSet.from_cuts(
        made
        for cut in cuts
        for made in (cut, *(cut.perturb_speed(speed) for speed in SPEEDS if cut.custom["split"] == "train"))
    )
