"""What is kept of a chunk of cuts whose audio has been read: nothing, an archive of features, or one of audio."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Protocol, Union

from lhotse import LilcomChunkyWriter, Recording
from lhotse.audio import AudioSource
from lhotse.cut import Cut
from lhotse.shar.utils import to_shar_placeholder
from lhotse.shar.writers import AudioTarWriter
from lhotse.utils import fastcopy

from hra_cli.data.audio import Samples
from hra_cli.data.features import SAMPLING_RATE, fbank
from hra_cli.data.skipped import Skipped
from hra_cli.data.stored_features import load_stored
from hra_cli.data.tar_member import members_of
from hra_cli.errors import HraError
from hra_cli.io.files import replacing

# The files of archives below a data folder.
ARCHIVE_NAMES = ("feats/feats-*.lca", "shar/recording.*.tar", "shar/cuts.*.jsonl.gz")
Added = Union[Cut, Skipped]


class ChunkWriter(Protocol):
    """Takes the cuts of a chunk, one after the other."""

    def add(self, cut: Cut, samples: Samples) -> Cut:
        """The cut as training reads it; samples: its audio, (1, samples) at 16 kHz."""

    def add_features(self, cut: Cut) -> Added:
        """The same for a cut that has features and no recording, or why it is not used."""

    def finished(self, cuts: list[Cut]) -> list[Cut]:
        """The cuts that were added, once the archive is where it stays."""


class Archive(Protocol):
    """Where a chunk's writer writes."""

    def writer(self) -> contextlib.AbstractContextManager[ChunkWriter]:
        """Writes the archive whole or not at all."""


@dataclass(frozen=True)
class NoArchive:
    """Training reads the audio from where it is."""

    @contextlib.contextmanager
    def writer(self) -> Iterator[ChunkWriter]:
        yield _Nothing()


@dataclass(frozen=True)
class FeatureArchive:
    """lhotse's archive of log-mel features."""

    path: Path

    @contextlib.contextmanager
    def writer(self) -> Iterator[ChunkWriter]:
        with replacing(self.path) as temporary, LilcomChunkyWriter(temporary) as writer:
            yield _Features(writer, self.path)


@dataclass(frozen=True)
class AudioArchive:
    """The tar file of a Shar shard: audio as FLAC, and what lhotse's own reader wants to know of it."""

    path: Path

    @contextlib.contextmanager
    def writer(self) -> Iterator[ChunkWriter]:
        with replacing(self.path) as temporary:
            with tarfile.open(temporary, "w"):
                pass  # where no cut can be used, lhotse makes no file
            with AudioTarWriter(str(temporary), None, "flac") as writer:
                yield _Audio(writer, self.path)


@dataclass(frozen=True)
class Archives:
    """The archives of all chunks, by number. folder: where they are; None: nowhere."""

    folder: Optional[Path]
    of_chunk: Callable[[int], Archive]


def no_archives() -> Archives:
    """Nothing is kept: features are computed from the audio where it is."""
    return Archives(None, lambda number: NoArchive())


def feature_archives(folder: Path) -> Archives:
    """Features in DATA/feats."""
    return Archives(folder / "feats", lambda number: FeatureArchive(folder / "feats" / f"feats-{number:06d}.lca"))


def audio_archives(folder: Path) -> Archives:
    """Audio in DATA/shar, a shard for each chunk."""
    return Archives(folder / "shar", lambda number: AudioArchive(folder / "shar" / f"recording.{number:06d}.tar"))


class _Nothing:
    def add(self, cut: Cut, samples: Samples) -> Cut:
        return cut

    def add_features(self, cut: Cut) -> Added:
        return Skipped(cut.id, "no recording, only features, which need no --on-the-fly")

    def finished(self, cuts: list[Cut]) -> list[Cut]:
        return cuts


class _Features:
    def __init__(self, writer: LilcomChunkyWriter, path: Path) -> None:
        self._writer, self._path = writer, path
        self._extractor = fbank()

    def add(self, cut: Cut, samples: Samples) -> Cut:
        features = self._extractor.extract_from_samples_and_store(
            samples, self._writer, SAMPLING_RATE, offset=cut.start, channel=cut.channel
        )
        return fastcopy(cut, features=fastcopy(features, recording_id=cut.recording_id))

    def add_features(self, cut: Cut) -> Added:
        try:
            frames = load_stored(cut)
        except HraError as error:
            return Skipped(cut.id, "unreadable features", str(error))
        features = fastcopy(
            cut.features,
            num_frames=len(frames),
            start=cut.start,
            duration=cut.duration,
            recording_id=cut.recording_id,
            storage_type=self._writer.name,
            storage_path=str(self._writer.storage_path),
            storage_key=self._writer.write(cut.id, frames.numpy()),
        )
        return fastcopy(cut, features=features)

    def finished(self, cuts: list[Cut]) -> list[Cut]:
        return [fastcopy(cut, features=fastcopy(cut.features, storage_path=str(self._path))) for cut in cuts]


class _Audio:
    def __init__(self, writer: AudioTarWriter, path: Path) -> None:
        self._writer, self._path = writer, path

    def add(self, cut: Cut, samples: Samples) -> Cut:
        number = samples.shape[1]
        recording = Recording(
            id=cut.id,  # several cuts may be of one recording, and each has its own part of it here
            sources=[AudioSource(type="shar", channels=[0], source="")],
            sampling_rate=SAMPLING_RATE,
            num_samples=number,
            duration=number / SAMPLING_RATE,
            channel_ids=[0],
        )
        self._writer.write(cut.id, samples, SAMPLING_RATE, to_shar_placeholder(recording))
        supervisions = [fastcopy(one, recording_id=cut.id, channel=0) for one in cut.supervisions]
        duration = min(cut.duration, recording.duration)
        return fastcopy(
            cut, start=0.0, duration=duration, channel=0, recording=recording, supervisions=supervisions, features=None
        )

    def add_features(self, cut: Cut) -> Added:
        return Skipped(cut.id, "no recording, only features, which need no --shar")

    def finished(self, cuts: list[Cut]) -> list[Cut]:
        members = dict(members_of(self._path))
        return [_in_archive(cut, str(members[f"{cut.id}.flac"])) for cut in cuts]


def _in_archive(cut: Cut, place: str) -> Cut:
    sources = [fastcopy(cut.recording.sources[0], source=place)]
    return fastcopy(cut, recording=fastcopy(cut.recording, sources=sources))
