"""Cuts to padded batches of features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicCutSampler
from lhotse.dataset.collation import collate_matrices
from torch.utils.data import DataLoader, Dataset

from hra_cli.data.audio import has_blocks, mono_audio, naming, one_line, open_recording
from hra_cli.data.features import NUM_MEL_BINS, SAMPLING_RATE, SHORTEST_SECONDS, fbank
from hra_cli.data.read_ahead import one_ahead
from hra_cli.data.skipped import Skipped
from hra_cli.data.stretches import StretchFeatures, stretch_of
from hra_cli.errors import HraError

# The log energy of silence, as icefall pads with: log(1e-10).
LOG_EPSILON = -23.025850929940457


@dataclass
class Batch:
    """N utterances, in the order of the cuts.

    features:     (N, T, 80) float32 log-mel energies at 100 Hz, padded at the end with `LOG_EPSILON`.
    feature_lens: (N,) int64, frames of each.
    texts, tasks: '' where a cut has none, as for loose audio files.
    durations:    seconds.
    unreadable:   cuts of the plan that are not among the N, and why.
    """

    features: torch.Tensor
    feature_lens: torch.Tensor
    texts: list[str]
    tasks: list[str]
    ids: list[str]
    durations: list[float]
    unreadable: list[Skipped] = field(default_factory=list)


def task_of(cut: Cut) -> str:
    """The task of a cut; '' for a cut that has none."""
    return str((cut.custom or {}).get("task", ""))


def text_of(cut: Cut) -> str:
    """What was said in a cut; '' for one that does not say."""
    return (cut.supervisions[0].text or "") if cut.supervisions else ""


class SpeechDataset(Dataset[Batch]):
    """Turns a CutSet into a `Batch`: reads the features that cuts have, computes them for the others."""

    def __init__(self) -> None:
        self._fbank = fbank()
        self._stretches = StretchFeatures()

    def __getitem__(self, cuts: CutSet) -> Batch:
        read, features, unreadable = [], [], []
        for cut in cuts:
            try:
                features.append(self._features(cut))
                read.append(cut)
            except Exception as error:  # decoders and lilcom raise errors of many kinds
                unreadable.append(Skipped(cut.id, "unreadable", _cause(cut, error)))
        return Batch(
            features=collate_matrices(features, padding_value=LOG_EPSILON)
            if features
            else torch.zeros(0, 0, NUM_MEL_BINS),
            feature_lens=torch.tensor([len(one) for one in features], dtype=torch.int64),
            texts=[text_of(cut) for cut in read],
            tasks=[task_of(cut) for cut in read],
            ids=[cut.id for cut in read],
            durations=[cut.duration for cut in read],
            unreadable=unreadable,
        )

    def _features(self, cut: Cut) -> torch.Tensor:
        stretch = stretch_of(cut)
        if cut.has_features:
            features = torch.from_numpy(cut.load_features())
        elif stretch is not None and has_blocks(cut):
            features = self._stretches(stretch)
        else:
            features = self._fbank.extract(torch.from_numpy(mono_audio(cut)), SAMPLING_RATE)
        if not torch.isfinite(features).all():
            raise HraError("the features are not all finite numbers")
        return features


def _cause(cut: Cut, error: Exception) -> str:
    if not cut.has_features:
        return one_line(error)
    file = Path(cut.features.storage_path)
    return f"{file}: {one_line(error)}" if file.exists() else f"{file} is missing, was it moved?"


def batches_in_order(cuts: Iterable[Cut], max_duration: float) -> Iterator[CutSet]:
    """Every cut once, in the given order, asked for when its batch is.

    `max_duration` is seconds of audio per batch, padding included; a longer cut is a batch of its own.
    """
    yield from DynamicCutSampler(cuts, max_duration=max_duration, world_size=1, rank=0)


class _Plan(Dataset[Batch]):
    """A sequence of CutSets as a map-style dataset of batches."""

    def __init__(self, plan: Sequence[CutSet]) -> None:
        self._plan = plan
        self._speech = SpeechDataset()

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, position: int) -> Batch:
        return self._speech[self._plan[position]]


def load_readable_batches(plan: Iterable[CutSet], num_workers: int = 0) -> Iterator[Batch]:
    """The batches of a plan, in its order, read ahead by `num_workers` processes, or for 0 by a thread of this one.

    Each says which of its cuts cannot be read, and may have no other.
    """
    if num_workers == 0:
        yield from one_ahead(SpeechDataset().__getitem__, plan)
    else:
        batches = plan if isinstance(plan, Sequence) else list(plan)
        yield from DataLoader(_Plan(batches), batch_size=None, num_workers=num_workers)


def load_batches(plan: Sequence[CutSet], num_workers: int = 0) -> Iterator[Batch]:
    """As `load_readable_batches`, but all can be read.

    Raises `HraError` naming the cut that cannot be read, and its file, where its batch would have come.
    """
    for batch in load_readable_batches(plan, num_workers):
        for one in batch.unreadable:
            raise unreadable_cut(one)
        yield batch


def unreadable_cut(one: Skipped) -> HraError:
    """The error for a cut of prepared data that cannot be read."""
    remedy = "put it back, or run `hra prepare` again into a new folder"
    return HraError(f"cannot read cut '{one.id}': {one.detail}; {remedy}")


def audio_file_cut(path: Path) -> Cut:
    """A cut for a loose audio file of any rate and number of channels; its id is its path as given.

    Raises `HraError` as `open_recording` does, and where it is too short for the encoder.
    """
    cut = open_recording(path).to_cut()
    with naming(str(path)):  # an odd rate may want a filter for which there is no memory
        cut = cut.resample(SAMPLING_RATE)
    if cut.duration < SHORTEST_SECONDS:
        with naming(str(path)):
            raise HraError(f"the audio file is shorter than {SHORTEST_SECONDS} s, leave it out")
    cut.id = str(path)
    return cut


def audio_file_cuts(paths: list[Path]) -> CutSet:
    """Cuts for loose audio files, see `audio_file_cut`. Raises `HraError` naming the first that cannot be used."""
    return CutSet.from_cuts([audio_file_cut(Path(path)) for path in paths])
