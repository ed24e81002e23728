"""Small recordings made by code, and the cuts that refer to them."""

import numpy as np
import soundfile
from lhotse import Recording, SupervisionSegment


def write_wav(path, seconds=0.5, rate=8000, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return path


def make_cut(path, text="ONE TWO", speaker="ann", **custom):
    """A cut over all of an audio file, with one supervision that holds `custom`."""
    recording = Recording.from_file(path)
    cut = recording.to_cut()
    cut.supervisions = [
        SupervisionSegment(
            id=recording.id,
            recording_id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=cut.channel,
            text=text,
            speaker=speaker,
            custom=custom or None,
        )
    ]
    return cut
