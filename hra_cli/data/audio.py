"""Audio to samples: the one place where audio is opened and read. No name reaches a shell.

lhotse resamples and cuts; what it reads comes through `_CheckedSource`, since lhotse's own reading puts names of `.sph`
files into a shell, runs sources of type `command`, and takes files that are cut off for shorter ones.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import numpy as np
import soundfile
from lhotse import AudioSource, Recording
from lhotse.audio.backend import (
    AudioreadBackend,
    CompositeAudioBackend,
    TorchaudioDefaultBackend,
    TorchaudioFFMPEGBackend,
)
from lhotse.cut import Cut
from lhotse.cut.data import DataCut
from lhotse.utils import compute_num_samples, fastcopy

from hra_cli.data.containers import CUT_OFF, fault, is_shortened, sphere_header
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.mp3 import Mp3, examine_mp3
from hra_cli.data.resampling import check_resampling
from hra_cli.data.tar_member import TarMember
from hra_cli.errors import HraError

Samples = np.ndarray[Any, Any]

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz
# Those of libsndfile's formats that state their size. The others are of old synthesisers and computers.
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST")
# No format stores more samples in a byte; FLAC with silence, and Opus, come near.
_MOST_FRAMES_PER_BYTE = 8_192
# The energy of anything louder is no finite number in 32 bits. Full scale is 1.
LOUDEST = 1e15
_MP3_FRAMES = 2  # by which libsndfile's idea of an MP3 file's length may differ
# How far a file's length, in seconds, may be from what its manifest says. Decoders of MP3 differ in the silence that
# encoders add. (lhotse allows half a second, and makes up for it by playing the end backwards.)
_LENGTH_TOLERANCE = 0.15
# Of a long recording, so much is in memory at a time.
_BLOCK_SECONDS = 10.0
# lhotse's changes of audio that read no file of their own.
_TRANSFORMS = (
    "Clipping", "Compress", "DereverbWPE", "LoudnessNormalization", "Narrowband", "Resample", "Speed", "Tempo", "Volume"
)  # fmt: skip
# What libsndfile does not read and ffmpeg and torchaudio do: where a file's mark is, the mark, and what it is called.
_FOREIGN = (
    (4, b"ftyp", "an MP4 or M4A file"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a WMA file"),
    (0, b"\xff\xf1", "an AAC file"),
    (0, b"\xff\xf9", "an AAC file"),
    (0, b"#!AMR", "an AMR file"),
)


@dataclass(frozen=True)
class _Header:
    channels: int
    frames: int
    sampling_rate: int


def mono_audio(cut: Cut, allow_commands: bool = False) -> Samples:
    """The cut's samples, (1, samples) float32, the mean of its channels.

    The mean, since lhotse's own mono_downmix adds the channels up and so makes stereo louder.

    allow_commands: also run audio sources of type `command`, and open those of type `url`.

    Raises HraError naming the file that is missing, no audio, cut off, or another one than the manifest says, and where
    samples are no finite numbers.
    """
    if not isinstance(cut, DataCut):
        raise HraError(f"a {type(cut).__name__} of several recordings; save its audio as one recording")
    if not cut.has_recording:
        raise HraError("it has no recording; add one, or remove the cut")
    try:
        recording = _checked(cut.recording, allow_commands)
        samples: Samples = fastcopy(cut, recording=recording).load_audio().mean(axis=0, keepdims=True)
    except Exception as error:  # decoders raise errors of many kinds, and lhotse appends manifests to them
        raise HraError(one_line(error)) from error
    _check_numbers(samples, recording)
    return samples


def has_blocks(cut: Cut) -> bool:
    """Whether `mono_blocks` can read the cut: one recording, as its files have it but for the sampling rate."""
    if not isinstance(cut, DataCut) or not cut.has_recording:
        return False
    names = [one["name"] if isinstance(one, dict) else type(one).__name__ for one in cut.recording.transforms or ()]
    return names in ([], ["Resample"])


def mono_blocks(cut: Cut) -> Iterator[tuple[Samples, int]]:
    """The cut's samples for which `has_blocks`, block by block of some seconds: (samples,) float32, the mean of its
    channels, and their rate, which is that of the file. However long the cut is, little of it is in memory.

    Raises HraError as `mono_audio` does, where the fault is met.
    """
    recording = _checked(cut.recording, allow_commands=False)
    channels = {cut.channel} if isinstance(cut.channel, int) else set(cut.channel)
    sources = [source for source in recording.sources if channels & set(source.channels)]
    rows = [[row for row, channel in enumerate(source.channels) if channel in channels] for source in sources]
    for blocks in zip(*(source.blocks(cut.start, cut.duration) for source in sources)):
        together = min(block.shape[1] for block in blocks)  # files of one recording may differ a little in length
        samples = np.concatenate([block[own, :together] for block, own in zip(blocks, rows)]).mean(axis=0)
        _check_numbers(samples, recording)
        yield samples, sources[0].sampling_rate


def _check_numbers(samples: Samples, recording: Recording) -> None:
    if not np.abs(samples).max(initial=0.0) < LOUDEST:
        names = ", ".join(map(_name_of, recording.sources))
        raise HraError(f"{names}: the samples are not all finite numbers, or far beyond any sound")


def open_recording(path: Path) -> Recording:
    """A recording for an audio file, by its header; its id is the file's stem and its path is absolute.

    Raises `HraError` naming the file where it is missing, a folder, no audio, cut off, or needs a program that is not
    installed.
    """
    name = os.path.abspath(path)
    with naming(str(path)):
        header = _header(name)
    return Recording(
        id=Path(path).stem,
        sampling_rate=header.sampling_rate,
        num_samples=header.frames,
        duration=header.frames / header.sampling_rate,
        sources=[AudioSource(type="file", channels=list(range(header.channels)), source=name)],
    )


def open_command(command: str, id_: str) -> Recording:
    """A recording that a shell command writes to its standard output. The command is run: only for callers that are
    allowed to.

    Raises HraError naming the command where it fails, and as `open_recording` does.
    """
    with naming(command):
        samples, sampling_rate = _samples(_output_of(command), 0.0, None)
    return Recording(
        id=id_,
        sampling_rate=sampling_rate,
        num_samples=samples.shape[1],
        duration=samples.shape[1] / sampling_rate,
        sources=[AudioSource(type="command", channels=list(range(len(samples))), source=command)],
    )


def one_line(error: BaseException) -> str:
    """An error as one line, without the manifests that lhotse appends to it; what is not ours is cut short."""
    text = _collapsed(str(error).split("[extra info]")[0]) or type(error).__name__
    return text if isinstance(error, HraError) else text[:300]


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Makes any error of the block an HraError of one line that begins with `name`, which need not be one."""
    try:
        yield
    except Exception as error:  # decoders raise errors of many kinds
        raise HraError(f"{_collapsed(name)}: {one_line(error)}") from error


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _checked(recording: Recording, allow_commands: bool) -> Recording:
    """The recording with sources that are read here."""
    file_rate, file_seconds = recording.sampling_rate, recording.duration
    for transform in reversed(recording.transforms or []):
        if isinstance(transform, dict):
            name, arguments = transform["name"], transform["kwargs"]
        else:
            name, arguments = type(transform).__name__, vars(transform)
        # A reverberation may read a second recording, by lhotse itself.
        if name not in _TRANSFORMS and not (name == "ReverbWithImpulseResponse" and arguments.get("rir") is None):
            raise HraError(f"its audio is to be changed by '{name}', which is not done here; save the result first")
        if name == "Resample":
            file_rate = arguments["source_sampling_rate"]
        elif name in ("Speed", "Tempo"):
            check_resampling(round(file_rate * arguments["factor"]), file_rate)
            file_seconds *= arguments["factor"]
    allowed = ("file", "memory", "shar", *(("command", "url") if allow_commands else ()))
    for source in recording.sources:
        if source.type in ("command", "url") and not allow_commands:
            raise HraError(
                f"its audio source is of type '{source.type}', which is run or opened only where `hra prepare` is told "
                f"to with --allow-commands: {_name_of(source)}"
            )
        if source.type not in allowed:
            raise HraError(f"its audio source is of type '{source.type}', which cannot be read; store audio in files")
    sources = [_CheckedSource.of(source, file_rate, file_seconds) for source in recording.sources]
    return fastcopy(recording, sources=sources)


def _name_of(source: AudioSource) -> str:
    return _collapsed(source.source) or "its audio" if isinstance(source.source, str) else "audio in memory"


@dataclass
class _CheckedSource(AudioSource):  # type: ignore[misc]  # lhotse has no types
    """An audio source that is read by this module; sampling_rate and seconds are its file's, as the manifest says."""

    sampling_rate: int = 0
    seconds: float = 0.0

    @staticmethod
    def of(source: AudioSource, sampling_rate: int, seconds: float) -> _CheckedSource:
        return _CheckedSource(source.type, source.channels, source.source, None, sampling_rate, seconds)

    def load_audio(
        self, offset: float = 0.0, duration: Optional[float] = None, force_opus_sampling_rate: Optional[int] = None
    ) -> Samples:
        with naming(_name_of(self)):
            samples, sampling_rate = _samples(self._audio(), offset, duration)
            self._check(samples, sampling_rate)
            self._check_length(samples.shape[1], offset, duration)
        return samples

    def blocks(self, offset: float, duration: float) -> Iterator[Samples]:
        """What `load_audio` gives, block by block: (channels, frames) each."""
        with naming(_name_of(self)):
            frames = 0
            for samples, sampling_rate in _sample_blocks(self._audio(), offset, duration):
                self._check(samples, sampling_rate)
                frames += samples.shape[1]
                yield samples
            self._check_length(frames, offset, duration)

    def _check(self, samples: Samples, sampling_rate: int) -> None:
        if sampling_rate != self.sampling_rate:
            raise HraError(
                f"the sampling rate is {sampling_rate} Hz and not {self.sampling_rate} Hz, as the manifest says; "
                "make the manifest again"
            )
        if len(samples) != len(self.channels):
            raise HraError(
                f"it has {len(samples)} channels and not {len(self.channels)}, as the manifest says; "
                "make the manifest again"
            )

    def _check_length(self, frames: int, offset: float, duration: Optional[float]) -> None:
        found = frames / self.sampling_rate
        expected = self.seconds - offset if duration is None else duration
        if abs(found - expected) > _LENGTH_TOLERANCE:
            raise HraError(
                f"from {offset:.2f} s on it has {found:.2f} s of audio and not {expected:.2f} s, as the manifest "
                "or its header says; make the manifest again"
            )

    def _audio(self) -> Union[str, bytes]:
        """A path, or the content of a file."""
        if self.type == "file":
            return os.path.abspath(str(self.source))
        if self.type == "shar":
            return TarMember.parse(str(self.source)).read()
        if self.type == "command":
            return _output_of(str(self.source))  # what `mono_audio` was allowed to do by its caller
        content = self._prepare_for_reading(offset=0.0, duration=None)
        return content.getvalue() if isinstance(content, io.BytesIO) else content


def _output_of(command: str) -> bytes:
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    if done.returncode:
        raise HraError(f"the command has failed: {done.stderr.decode(errors='replace')[-300:]}")
    return done.stdout


@dataclass(frozen=True)
class _Content:
    """What a file says of itself. foreign: what it is, where libsndfile cannot read it. sphere: a SPHERE file's header.
    size: bytes."""

    foreign: str
    sphere: dict[str, str]
    mp3: Optional[Mp3]
    size: int


def _content(audio: Union[str, bytes]) -> _Content:
    """Raises HraError for what is no file, or cut off as far as that is seen without its samples."""
    if isinstance(audio, bytes):
        return _examined(io.BytesIO(audio))
    with _binary(audio) as file:
        state = os.fstat(file.fileno())
    return _content_of_file(audio, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=1024)
def _content_of_file(path: str, mtime_ns: int, size: int) -> _Content:
    # Kept, since a long recording is read once for each of its cuts.
    with open(path, "rb") as file:
        return _examined(file)


def _examined(file: BinaryIO) -> _Content:
    mp3 = examine_mp3(file)
    wrong = fault(file) if mp3 is None else mp3.fault
    if wrong:
        raise HraError(wrong)
    return _Content(_foreign(file), sphere_header(file), mp3, file.seek(0, os.SEEK_END))


def _header(audio: Union[str, bytes]) -> _Header:
    """What a file says of itself. Raises errors of many kinds."""
    content = _content(audio)
    if content.foreign:
        info = _foreign_backend(content.foreign).info(_path(audio))
        return _plausible(_Header(info.channels, info.frames, info.samplerate), content)
    if is_shortened(content.sphere):
        _find_sph2pipe()
        return _plausible(_shortened_header(content.sphere), content)
    with _sound_file(audio) as sound:
        return _plausible(_header_of(sound, content), content)


def _samples(audio: Union[str, bytes], offset: float, duration: Optional[float]) -> tuple[Samples, int]:
    """Samples (channels, frames) float32 from `offset` on, all or `duration` seconds of them, and their rate."""
    content = _content(audio)
    if content.foreign:
        samples, rate = _foreign_backend(content.foreign).read_audio(_path(audio), offset, duration)
        return np.atleast_2d(samples).astype(np.float32), rate
    with _at(audio, offset, duration, content) as (sound, frames):
        # At once, since mpg123 rounds otherwise when it is asked for parts.
        samples = sound.read(frames, dtype=np.float32, always_2d=True)
        if len(samples) < _fewest(frames, content):
            raise HraError(CUT_OFF)
        return samples.T, sound.samplerate


def _sample_blocks(audio: Union[str, bytes], offset: float, duration: float) -> Iterator[tuple[Samples, int]]:
    """What `_samples` gives, block by block."""
    content = _content(audio)
    if content.foreign:
        yield from _foreign_blocks(_path(audio), content.foreign, offset, duration)
        return
    with _at(audio, offset, duration, content) as (sound, frames):
        sound.one_way = True
        read = 0
        while read < frames:
            block = min(frames - read, round(_BLOCK_SECONDS * sound.samplerate))
            samples = sound.read(block, dtype=np.float32, always_2d=True)
            read += len(samples)
            if len(samples) < block and read < _fewest(frames, content):
                raise HraError(CUT_OFF)
            if len(samples):
                yield samples.T, sound.samplerate
            if len(samples) < block:
                return


def _foreign_blocks(path: str, what: str, offset: float, duration: float) -> Iterator[tuple[Samples, int]]:
    backend = _foreign_backend(what)
    if shutil.which("ffmpeg") is None:  # torchaudio gives all at once
        samples, rate = backend.read_audio(path, offset, duration)
        yield np.atleast_2d(samples).astype(np.float32), rate
        return
    info = backend.info(path)
    skip, left = round(offset * info.samplerate), round(duration * info.samplerate)
    # Not by audioread, which reads on while nobody takes what it has read.
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", path, "-f", "s16le", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ffmpeg:
        try:
            while left and ffmpeg.stdout is not None:
                content = ffmpeg.stdout.read(2 * info.channels * round(_BLOCK_SECONDS * info.samplerate))
                whole = np.frombuffer(content[: len(content) - len(content) % (2 * info.channels)], "<i2")
                if not len(whole):
                    break
                samples = whole.reshape(-1, info.channels).T.astype(np.float32) / 32768
                samples, skip = samples[:, skip:], max(0, skip - samples.shape[1])
                samples = samples[:, :left]
                left -= samples.shape[1]
                if samples.shape[1]:
                    yield samples, info.samplerate
        finally:
            ffmpeg.kill()


@contextlib.contextmanager
def _at(
    audio: Union[str, bytes], offset: float, duration: Optional[float], content: _Content
) -> Iterator[tuple[_Sound, int]]:
    """A file that libsndfile reads, `offset` seconds after its begin, and how many frames to read from there."""
    shortened = is_shortened(content.sphere)
    with _sound_file(_expanded(_path(audio)) if shortened else audio) as sound:
        header = _plausible(_shortened_header(content.sphere) if shortened else _header_of(sound, content), content)
        start = compute_num_samples(offset, header.sampling_rate) if offset > 0 else 0
        if start:
            _skip(sound, start)
        frames = max(0, header.frames - start)
        if duration is not None:
            frames = min(frames, compute_num_samples(duration, header.sampling_rate))
        yield sound, frames


def _fewest(frames: int, content: _Content) -> int:
    """Of so many frames, how many there must be: an MP3 file's header may count some samples more than there are."""
    return frames - (_MP3_FRAMES * content.mp3.in_frame if content.mp3 is not None else 0)


def _skip(sound: soundfile.SoundFile, frames: int) -> None:
    if sound.seekable():
        sound.seek(frames)
        return
    while frames > 0:  # GSM and some kinds of ADPCM
        skipped = len(sound.read(min(frames, round(_BLOCK_SECONDS * sound.samplerate)), dtype=np.float32))
        if not skipped:
            return
        frames -= skipped


def _header_of(sound: soundfile.SoundFile, content: _Content) -> _Header:
    frames = sound.frames
    if content.sphere.get("sample_count", "").isdigit():  # libsndfile takes all that follows for samples
        frames = min(frames, int(content.sphere["sample_count"]))
    mp3 = content.mp3
    if mp3 is not None and abs(mp3.samples - frames) > _MP3_FRAMES * mp3.in_frame + 0.005 * mp3.samples:
        raise HraError("an MP3 file that does not say how long it is, or says it wrong; convert it to WAV or FLAC")
    return _Header(sound.channels, frames, sound.samplerate)


def _plausible(header: _Header, content: _Content) -> _Header:
    if not LOWEST_RATE <= header.sampling_rate <= HIGHEST_RATE:
        raise HraError(f"no sound has a sampling rate of {header.sampling_rate} Hz; is its header damaged?")
    check_resampling(header.sampling_rate, SAMPLING_RATE)
    if header.frames > content.size * _MOST_FRAMES_PER_BYTE:
        raise HraError("it states more audio than its size can hold, or not how much; convert it to WAV or FLAC again")
    return header


def _shortened_header(sphere: dict[str, str]) -> _Header:
    try:
        return _Header(*(int(sphere[name]) for name in ("channel_count", "sample_count", "sample_rate")))
    except (KeyError, ValueError) as error:
        raise HraError("its SPHERE header does not say how many samples there are, and of which rate") from error


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """one_way: from now on it is read forwards only. soundfile seeks after everything it reads, where it can, and in an
    MP3 file mpg123 then decodes a little again, and complains on standard error that it lacks what came before."""

    one_way = False

    def seekable(self) -> bool:
        """Whether it can be read from another place on."""
        return not self.one_way and bool(super().seekable())


@contextlib.contextmanager
def _binary(audio: Union[str, bytes]) -> Iterator[BinaryIO]:
    """The file's bytes. Raises HraError for what is no file."""
    if isinstance(audio, bytes):
        yield io.BytesIO(audio)
        return
    if os.path.isdir(audio):
        raise HraError("this is a folder; give the audio files in it")
    if not os.path.exists(audio):
        raise HraError("no such audio file")
    if not os.path.isfile(audio):  # opening a pipe could wait forever
        raise HraError("this is no regular file")
    with open(audio, "rb") as file:
        yield file


def _sound_file(audio: Union[str, bytes]) -> _Sound:
    # Bytes, since a path need not be text.
    source = io.BytesIO(audio) if isinstance(audio, bytes) else os.fsencode(audio)
    try:
        sound = _Sound(source)
    except soundfile.LibsndfileError as error:
        raise HraError(f"not an audio file that can be read: {error.error_string.rstrip('.')}") from error
    if sound.format not in FORMATS:
        sound.close()
        raise HraError(f"audio of the format {sound.format} is not read; convert it to WAV or FLAC")
    return sound


def _foreign(file: BinaryIO) -> str:
    """What the file is, where libsndfile cannot read it and others may; else ''."""
    file.seek(0)
    first = file.read(16)
    return next((what for place, mark, what in _FOREIGN if first[place:].startswith(mark)), "")


def _foreign_backend(what: str) -> CompositeAudioBackend:
    """What reads it: torchaudio in this process, or ffmpeg with the path as one argument."""
    if importlib.util.find_spec("torchaudio") is None and shutil.which("ffmpeg") is None:
        raise HraError(f"{what}, which needs ffmpeg or torchaudio, and neither is installed; or convert it to WAV")
    return CompositeAudioBackend([TorchaudioFFMPEGBackend(), TorchaudioDefaultBackend(), AudioreadBackend()])


def _path(audio: Union[str, bytes]) -> str:
    if isinstance(audio, bytes):
        raise HraError("audio of this format is read from a file only")
    return audio


def _find_sph2pipe() -> str:
    program = shutil.which("sph2pipe")
    if program is None:
        raise HraError("a SPHERE file compressed by shorten, which needs sph2pipe, and that is not installed")
    return program


def _expanded(path: str) -> bytes:
    """A compressed SPHERE file as WAV."""
    done = subprocess.run([_find_sph2pipe(), "-f", "wav", "-p", path], capture_output=True, check=False)
    if done.returncode:
        raise HraError(f"sph2pipe has failed: {done.stderr.decode(errors='replace')[-300:]}")
    return done.stdout
