"""Audio that is too long to be read whole: in blocks, its features those of the whole recording."""

import numpy as np
import pytest
import soundfile
import torch
from builders import refused
from lhotse import AudioSource, Recording
from recordings import write_wav

from hra_cli.data.audio import has_blocks, mono_audio, mono_blocks
from hra_cli.data.batches import audio_file_cut
from hra_cli.data.channels import channel_cuts
from hra_cli.data.features import SAMPLING_RATE, fbank
from hra_cli.data.stretches import Stretch, StretchFeatures, frames_of, stretch_cut, stretch_of

SECONDS = 23.456


@pytest.fixture(params=["flac", "mp3", "ogg", "wav", "gsm.wav", "au"])
def cut(request, tmp_path):
    """A stereo recording at 22.05 kHz (GSM: one channel at 8 kHz, and no seeking in it)."""
    gsm = request.param == "gsm.wav"
    rate, channels = (8000, 1) if gsm else (22050, 2)
    samples = np.random.default_rng(1).normal(0, 0.1, (round(SECONDS * rate), channels))
    soundfile.write(tmp_path / f"a.{request.param}", samples, rate, subtype="GSM610" if gsm else None)
    return audio_file_cut(tmp_path / f"a.{request.param}")


def whole_features(cut):
    return torch.as_tensor(fbank().extract(torch.from_numpy(mono_audio(cut)), SAMPLING_RATE))


def test_features_of_stretches_are_those_of_the_whole(cut):
    whole, read = whole_features(cut), StretchFeatures()
    frames = frames_of(cut)
    for begin, end in ((0, 900), (600, 1500), (1200, frames), (1600, 1601), (0, 20), (2000, frames)):  # also back again
        found = read(Stretch(cut, begin, end))
        assert found.shape == whole[begin:end].shape
        assert (found - whole[begin:end]).abs().max() < 5e-3
        assert (found - whole[begin:end]).abs().mean() < 1e-4


def test_little_is_in_memory_at_a_time(cut, monkeypatch):
    rate, blocks = cut.recording.sampling_rate, []
    monkeypatch.setattr("hra_cli.data.audio._BLOCK_SECONDS", 0.5)
    blocks = [len(samples) / given for samples, given in mono_blocks(cut)]
    assert max(blocks) == 0.5
    assert sum(blocks) == pytest.approx(cut.duration, abs=0.15)
    assert rate == SAMPLING_RATE, "what lhotse makes of it; blocks have the file's own rate"


def test_features_are_forgotten_when_the_windows_have_gone_on(tmp_path):
    """What is kept of a recording is one window and one block, wherever in it the window lies."""
    read = StretchFeatures()
    cut = audio_file_cut(write_wav(tmp_path / "a.wav", seconds=150.0, rate=SAMPLING_RATE))
    kept = []
    for begin in range(0, frames_of(cut) - 1000, 700):
        read(Stretch(cut, begin, begin + 1000))
        kept.append(sum(len(piece) for piece in read._cut._frames))
    assert len(kept) > 15
    assert max(kept) <= 1000 + 1100, "a window and a block of 10 s"


@pytest.mark.parametrize("offset", [0.0, 3.217])
def test_blocks_are_the_samples_of_the_cut(tmp_path, offset):
    path = write_wav(tmp_path / "a.wav", seconds=30.0, rate=SAMPLING_RATE, channels=2)
    cut = audio_file_cut(path).truncate(offset=offset, duration=26.0)
    blocks = np.concatenate([samples for samples, _ in mono_blocks(cut)])
    assert (blocks == mono_audio(cut)[0]).all()


def test_blocks_of_mp3_are_what_reading_all_at_once_gives(tmp_path, capfd):
    """To the last bit, and the decoder has nothing to complain of: it goes forwards only."""
    samples = np.random.default_rng(1).normal(0, 0.1, (30 * SAMPLING_RATE, 2)) * np.linspace(0, 1, 30)[:, None].repeat(
        SAMPLING_RATE, axis=0
    )
    soundfile.write(tmp_path / "a.mp3", samples, SAMPLING_RATE)
    cut = audio_file_cut(tmp_path / "a.mp3")
    assert (np.concatenate([block for block, _ in mono_blocks(cut)]) == mono_audio(cut)[0]).all()
    assert capfd.readouterr().err == ""


def test_each_channel_can_be_read_by_itself(tmp_path):
    samples = np.random.default_rng(1).normal(0, 0.1, (3 * SAMPLING_RATE, 3)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLING_RATE, subtype="FLOAT")
    for number, cut in enumerate(channel_cuts(audio_file_cut(tmp_path / "a.wav"))):
        assert (np.concatenate([block for block, _ in mono_blocks(cut)]) == samples[:, number]).all()
        assert (mono_audio(cut)[0] == samples[:, number]).all()
    (only,) = channel_cuts(audio_file_cut(write_wav(tmp_path / "mono.wav")))
    assert mono_audio(only).shape == mono_audio(audio_file_cut(tmp_path / "mono.wav")).shape


def test_channels_in_files_of_their_own_are_read_together(tmp_path):
    files = [write_wav(tmp_path / f"{n}.wav", seconds=12.0, rate=SAMPLING_RATE, seed=n) for n in range(2)]
    sources = [AudioSource("file", [n], str(file)) for n, file in enumerate(files)]
    cut = Recording("both", sources, SAMPLING_RATE, 12 * SAMPLING_RATE, 12.0).to_cut()
    assert np.concatenate([block for block, _ in mono_blocks(cut)]) == pytest.approx(mono_audio(cut)[0])


def test_a_recording_that_is_to_be_changed_has_no_blocks(tmp_path):
    cut = audio_file_cut(write_wav(tmp_path / "a.wav"))
    assert has_blocks(cut)
    assert not has_blocks(cut.perturb_speed(0.9))
    assert not has_blocks(cut.pad(1.0))


def test_what_is_cut_off_or_no_sound_is_refused_where_it_is_met(tmp_path):
    path = write_wav(tmp_path / "a.flac", seconds=40.0)
    cut = audio_file_cut(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with refused(str(path)):
        list(mono_blocks(cut))
    samples = np.zeros(25 * SAMPLING_RATE)
    samples[-1] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, SAMPLING_RATE, subtype="FLOAT")
    blocks = mono_blocks(audio_file_cut(tmp_path / "nan.wav"))
    assert len(next(blocks)[0]) == len(next(blocks)[0]) == 10 * SAMPLING_RATE
    with refused("nan.wav: the samples are not all finite numbers"):
        next(blocks)


def test_a_stretch_knows_its_cut_and_lasts_as_long_as_its_frames(tmp_path):
    cut = audio_file_cut(write_wav(tmp_path / "a.wav", seconds=2.0))
    stretch = Stretch(cut, 40, 120)
    piece = stretch_cut(stretch, "piece")
    assert (piece.id, piece.start, piece.duration, stretch_of(piece)) == ("piece", 0.4, 0.8, stretch)
    assert stretch_of(cut) is None
    assert stretch_cut(Stretch(cut, 100, 500), "last").duration == pytest.approx(1.0)
