"""How long after a sound its text is there, when it is recognised chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Latency:
    """algorithmic: seconds that pass at most from a sound until its chunk and what is looked ahead are there. median,
    percentile_95: seconds that a step then takes, which recognises a chunk of each of up to `streams` streams together:
    of several, more than a listener to one of them would wait."""

    algorithmic: float
    median: float
    percentile_95: float
    streams: int

    def as_json(self) -> dict[str, float]:
        """The fields, rounded."""
        return {
            "algorithmic_seconds": round(self.algorithmic, 3),
            "chunk_seconds_median": round(self.median, 5),
            "chunk_seconds_95": round(self.percentile_95, 5),
            "streams": self.streams,
        }


def latency_of(algorithmic: float, chunks: Sequence[float], streams: int) -> Latency:
    """chunks: seconds that each took to recognise, at least one."""
    median, percentile_95 = np.percentile(chunks, [50, 95]).tolist()
    return Latency(algorithmic, median, percentile_95, streams)
