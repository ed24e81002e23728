"""Which changes of sampling rate are within reason: a filter's memory grows with what two rates do not share."""

from __future__ import annotations

import math

from hra_cli.errors import HraError

# As for 11,025 Hz at 0.9 times the speed: 4 GB. Usual rates take a thousandth of that, and 44,101 Hz to 16 kHz 30 GB.
_MOST_WEIGHTS = 120_000_000


def check_resampling(source: int, target: int) -> None:
    """Raises HraError where resampling from `source` to `target` Hz would take more memory than a machine may have."""
    shared = math.gcd(source, target)
    if source < 1 or target < 1 or (source // shared) * (target // shared) > _MOST_WEIGHTS:
        raise HraError(
            f"resampling from {source} Hz to {target} Hz takes many gigabytes; is the rate right? If so, convert the "
            "audio to 16000 Hz first"
        )
