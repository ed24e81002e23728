"""Log-mel features, the same when prepared and when decoded."""

from __future__ import annotations

from lhotse import Fbank, FbankConfig

SAMPLING_RATE = 16000
NUM_MEL_BINS = 80
FRAME_SHIFT = 0.01  # seconds
# The encoder's subsampling needs 9 frames of 10 ms.
SHORTEST_SECONDS = 0.1
# Every energy of samples that are all zero: the logarithm of float32's epsilon, below which none is counted.
SILENCE = -15.942385


def fbank() -> Fbank:
    """The features that icefall's recipes train with: 80 log-mel energies every 10 ms, at 16 kHz."""
    return Fbank(FbankConfig(sampling_rate=SAMPLING_RATE, num_mel_bins=NUM_MEL_BINS, frame_shift=FRAME_SHIFT))
