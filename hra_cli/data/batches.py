"""Cuts to padded batches of features: the plan of an epoch, and its loading."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler, DynamicCutSampler
from lhotse.dataset.collation import collate_matrices
from torch.utils.data import DataLoader, Dataset

from hra_cli.data.features import (
    SAMPLING_RATE,
    SHORTEST_SECONDS,
    audio_files,
    fbank,
    mono_audio,
    one_line,
    open_recording,
)
from hra_cli.data.read_ahead import one_ahead
from hra_cli.errors import HraError

# The log energy of silence, as icefall pads with: log(1e-10).
LOG_EPSILON = -23.025850929940457
MAX_BUCKETS = 10


@dataclass
class Batch:
    """N utterances, in the order of the cuts.

    features:     (N, T, 80) float32 log-mel energies at 100 Hz, padded at the end with `LOG_EPSILON`.
    feature_lens: (N,) int64, frames of each.
    texts, tasks: '' where a cut has none, as for loose audio files.
    durations:    seconds.
    """

    features: torch.Tensor
    feature_lens: torch.Tensor
    texts: list[str]
    tasks: list[str]
    ids: list[str]
    durations: list[float]


def task_of(cut: Cut) -> str:
    """The task of a cut; '' for a cut that has none."""
    return str((cut.custom or {}).get("task", ""))


class SpeechDataset(Dataset[Batch]):
    """Turns a CutSet into a `Batch`: reads the features that cuts have, computes them for the others."""

    def __init__(self) -> None:
        self._fbank = fbank()

    def __getitem__(self, cuts: CutSet) -> Batch:
        """Raises `HraError` naming the cut and the file that cannot be read."""
        cuts = list(cuts)
        features = [self._features(cut) for cut in cuts]
        return Batch(
            features=collate_matrices(features, padding_value=LOG_EPSILON),
            feature_lens=torch.tensor([len(one) for one in features], dtype=torch.int64),
            texts=[(cut.supervisions[0].text or "") if cut.supervisions else "" for cut in cuts],
            tasks=[task_of(cut) for cut in cuts],
            ids=[cut.id for cut in cuts],
            durations=[cut.duration for cut in cuts],
        )

    def _features(self, cut: Cut) -> torch.Tensor:
        try:
            if cut.has_features:
                return torch.from_numpy(cut.load_features())
            features: torch.Tensor = self._fbank.extract(torch.from_numpy(mono_audio(cut)), SAMPLING_RATE)
            return features
        except Exception as error:  # decoders and lilcom raise errors of many kinds
            raise HraError(_unreadable(cut, error)) from error


def _unreadable(cut: Cut, error: Exception) -> str:
    files = [Path(cut.features.storage_path)] if cut.has_features else audio_files(cut)
    remedy = "put it back, or run `hra prepare` again into a new folder"
    for file in files:
        if not file.exists():
            return f"cannot read cut '{cut.id}': {file} is missing, was it moved?; {remedy}"
    return f"cannot read cut '{cut.id}' from {', '.join(map(str, files))}: {one_line(error)}; {remedy}"


def training_batches(cuts: CutSet, max_duration: float, seed: int, epoch: int) -> list[CutSet]:
    """The batches of one epoch, each cut once: cuts of similar length together, in a random order.

    Where there are only a few batches, their cuts are not sorted by length.

    The same (cuts, max_duration, seed, epoch) give the same batches. `max_duration` is seconds of audio per
    batch, padding included; as lhotse counts, a batch's last cut may exceed it, and a longer cut is a batch of
    its own.
    """
    # A string, since `seed + epoch` would give epoch 2 of seed 1 the order of epoch 1 of seed 2.
    shuffler = random.Random(f"{seed} {epoch}")
    # lhotse shuffles within a buffer only; cuts come ordered by task and must be mixed across all of them.
    shuffled = sorted(cuts, key=lambda cut: cut.id)
    shuffler.shuffle(shuffled)
    if not shuffled:
        return []
    # With less than two batches in a bucket, most batches would be the small rest of one.
    seconds = sum(cut.duration for cut in shuffled)
    num_buckets = min(MAX_BUCKETS, len(shuffled), int(seconds / max_duration / 2))
    if num_buckets < 2:
        return list(DynamicCutSampler(shuffled, max_duration=max_duration, world_size=1, rank=0))
    sampler = DynamicBucketingSampler(
        shuffled,
        max_duration=max_duration,
        shuffle=True,
        drop_last=False,
        num_buckets=num_buckets,
        seed=shuffler.getrandbits(32),
        world_size=1,
        rank=0,
    )
    plan = list(sampler)
    # lhotse draws the buckets in the same order in every epoch. (Not with sync_buckets=False, but then it ends
    # the epoch at the first bucket that runs empty and so loses cuts.)
    shuffler.shuffle(plan)
    return plan


def decoding_batches(cuts: CutSet, max_duration: float) -> list[CutSet]:
    """Every cut once, longest first, so that memory runs out at the start if it does.

    `max_duration` is seconds of audio per batch, padding included; a longer cut is a batch of its own.
    """
    longest_first = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
    if not longest_first:
        return []
    return list(DynamicCutSampler(longest_first, max_duration=max_duration, world_size=1, rank=0))


class _Plan(Dataset["Batch | HraError"]):
    """A list of CutSets as a map-style dataset of batches.

    An error is handed over as a value, since torch turns one that a worker process raises into a traceback.
    """

    def __init__(self, plan: list[CutSet]) -> None:
        self._plan = plan
        self._speech = SpeechDataset()

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, position: int) -> Batch | HraError:
        try:
            return self._speech[self._plan[position]]
        except HraError as error:
            return error


def load_batches(plan: list[CutSet], num_workers: int = 0) -> Iterator[Batch]:
    """The batches of a plan, in its order, read ahead by `num_workers` processes, or for 0 by a thread of this one.

    Raises `HraError` naming the cut and the file that cannot be read, where its batch would have come.
    """
    if num_workers == 0:
        yield from one_ahead(SpeechDataset().__getitem__, plan)
        return
    for batch in DataLoader(_Plan(plan), batch_size=None, num_workers=num_workers):
        if isinstance(batch, HraError):
            raise batch
        yield batch


def audio_file_cuts(paths: list[Path]) -> CutSet:
    """Cuts for loose audio files of any rate and number of channels; a cut's id is its path as given.

    Raises `HraError` naming the first file that is missing, no audio, cut off, or too short for the encoder.
    """
    cuts = []
    for path in paths:
        cut = open_recording(Path(path)).to_cut().resample(SAMPLING_RATE)
        if cut.duration < SHORTEST_SECONDS:
            raise HraError(f"the audio file is shorter than {SHORTEST_SECONDS} s, leave it out: {path}")
        cut.id = str(path)
        cuts.append(cut)
    return CutSet.from_cuts(cuts)
