"""Features that somebody else has stored, of recordings that are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from lhotse import Features
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from hra_cli.data.audio import one_line
from hra_cli.data.features import FRAME_SHIFT, NUM_MEL_BINS, SAMPLING_RATE
from hra_cli.data.tar_member import TarMember
from hra_cli.errors import HraError

# lhotse's extractors of Kaldi's log-mel energies. Others may have 80 numbers a frame too, such as Whisper's.
FBANKS = ("kaldi-fbank", "kaldifeat-fbank", "fbank")
WANTED = f"{NUM_MEL_BINS} log-mel energies of Kaldi's at {1 / FRAME_SHIFT:.0f} Hz, from audio at {SAMPLING_RATE} Hz"
_IN_TARS = {".llc": "memory_lilcom", ".npy": "memory_npy"}
_LARGEST = 110  # the logarithm of a number of 32 bits is smaller
_MOST_FRAMES_OFF = 2  # by which a length in seconds is rounded


def unlike_ours(features: Features) -> str:
    """What is different about features from those that `fbank` makes, as their manifest says; '' for nothing."""
    if features.type not in FBANKS:
        return f"they are of the type {features.type}"
    if features.num_features != NUM_MEL_BINS:
        return f"they have {features.num_features} numbers a frame"
    if abs(features.frame_shift - FRAME_SHIFT) > 1e-6:
        return f"they have a frame every {features.frame_shift} s"
    if features.sampling_rate != SAMPLING_RATE:
        return f"they are of audio at {features.sampling_rate} Hz"
    return ""


def load_stored(cut: Cut) -> torch.Tensor:
    """The frames (T, 80) float32 of a cut without a recording.

    Raises HraError naming the file where they are missing, damaged, or not what their manifest says.
    """
    stored: Features = cut.features
    where = str(stored.storage_path)
    try:
        if stored.storage_type == "shar":
            member, _, suffix = str(stored.storage_key).rpartition(".")
            content = TarMember.parse(member).read()
            inside = fastcopy(stored, storage_type=_IN_TARS[f".{suffix}"], storage_path="", storage_key=content)
            cut = fastcopy(cut, features=inside)
        else:
            _refuse_pipe(stored)
        found = np.asarray(cut.load_features())
    except Exception as error:  # readers of lhotse's raise errors of many kinds
        raise HraError(f"{where}: {one_line(error)}") from error
    wanted = round(cut.duration / FRAME_SHIFT)
    if found.ndim != 2 or found.shape[1] != NUM_MEL_BINS or abs(len(found) - wanted) > _MOST_FRAMES_OFF:
        raise HraError(f"{where}: an array of {found.shape}, and not ({wanted}, {NUM_MEL_BINS}), as the manifest says")
    if not np.issubdtype(found.dtype, np.floating) or not (np.abs(found) < _LARGEST).all():
        raise HraError(f"{where}: the features are no logarithms of energies")
    return torch.from_numpy(found.astype(np.float32))


def _refuse_pipe(stored: Features) -> None:
    path = Path(str(stored.storage_path))
    if str(stored.storage_type).endswith("_files"):
        path = path / str(stored.storage_key).lstrip("/")
    if not os.path.isfile(path):  # opening a pipe could wait forever
        raise HraError(f"no such file of features: {path}")
