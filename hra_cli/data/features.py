"""Audio files to 16 kHz mono samples and log-mel features, the same when prepared and when decoded."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
from lhotse import Fbank, FbankConfig, Recording
from lhotse.cut import Cut

from hra_cli.errors import HraError

SAMPLING_RATE = 16000
NUM_MEL_BINS = 80
FRAME_SHIFT = 0.01  # seconds
# The encoder's subsampling needs 9 frames of 10 ms.
SHORTEST_SECONDS = 0.1

# Programs that write a WAV into a pipe cannot know its length and state about this many bytes, or more.
_LENGTH_UNKNOWN = 0x7FFF0000
_SMALLEST_WAV_HEADER = 44


def fbank() -> Fbank:
    """The features that icefall's recipes train with: 80 log-mel energies every 10 ms, at 16 kHz."""
    return Fbank(FbankConfig(sampling_rate=SAMPLING_RATE, num_mel_bins=NUM_MEL_BINS, frame_shift=FRAME_SHIFT))


def mono_audio(cut: Cut, allow_commands: bool = False) -> np.ndarray[Any, Any]:
    """The cut's samples, (1, samples) float32, the mean of its channels.

    The mean, since lhotse's own mono_downmix adds the channels up and so makes stereo louder. Raises `HraError` for
    audio that comes from a shell command or a URL, unless that is allowed.
    """
    if not allow_commands and any(source.type in ("command", "url") for source in cut.recording.sources):
        raise HraError("its audio would be read by running a command or from a URL")
    samples: np.ndarray[Any, Any] = cut.load_audio().mean(axis=0, keepdims=True)
    return samples


def open_recording(path: Path) -> Recording:
    """A recording for an audio file, by its header; its id is the file's stem and its path is absolute.

    Raises `HraError` naming the file where it is missing, no audio, or cut off.
    """
    if not path.is_file():
        raise HraError(f"no such audio file: {path}")
    try:
        recording = Recording.from_file(os.path.abspath(path))
    except Exception as error:  # lhotse tries several decoders, each with errors of its own
        raise HraError(f"not an audio file that can be read: {path}") from error
    if is_truncated_wav(path):
        raise HraError(f"the audio file is cut off, it is shorter than its header says: {path}")
    return recording


def is_truncated_wav(path: Path) -> bool:
    """Whether a WAV file holds fewer bytes than its header states.

    libsndfile, which lhotse reads with, takes such a file for a shorter one and says nothing.
    """
    try:
        with wave.open(str(path), "rb") as file:
            stated = file.getnframes() * file.getnchannels() * file.getsampwidth()
    except (wave.Error, EOFError):
        return False
    return stated < _LENGTH_UNKNOWN and stated + _SMALLEST_WAV_HEADER > path.stat().st_size


def audio_files(cut: Cut) -> list[Path]:
    """The files that the cut's audio is read from."""
    return [Path(source.source) for source in cut.recording.sources if source.type == "file"]


def one_line(error: BaseException) -> str:
    """An error as one short line, without the manifests that lhotse appends to it."""
    text = " ".join(str(error).split("[extra info]")[0].split())
    return (text or type(error).__name__)[:300]
