"""A recording that has lost its end is not taken for a shorter one, whatever format it is in."""

import io
import struct

import numpy as np
import pytest
import soundfile
from builders import refused

from hra_cli.data.audio import FORMATS, mono_audio, open_recording
from hra_cli.data.batches import audio_file_cut
from hra_cli.data.containers import CUT_OFF, fault
from hra_cli.data.mp3 import examine_mp3

RATE = 8000
SECONDS = 2
# libsndfile writes these and cannot read them, or does not write them at all.
UNREADABLE = ("DWVW_12", "DWVW_16", "DWVW_24", "MPEG_LAYER_I", "MPEG_LAYER_II")
KINDS = [
    (container, subtype, order)
    for container in FORMATS
    for subtype in soundfile.available_subtypes(container)
    for order in ("FILE", "LITTLE", "BIG")
    if subtype not in UNREADABLE and (container, subtype) != ("WAV", "MPEG_LAYER_III")
    if soundfile.check_format(container, subtype, order)
]


def noise(seconds=SECONDS):
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def written(path, container, subtype, order="FILE"):
    soundfile.write(path, noise(), RATE, subtype, order, container)
    return path.read_bytes()


@pytest.mark.parametrize(("container", "subtype", "order"), KINDS)
def test_whole_files_are_read_and_cut_off_ones_refused(tmp_path, container, subtype, order):
    path = tmp_path / "x.audio"
    content = written(path, container, subtype, order)
    whole = mono_audio(open_recording(path).to_cut())
    assert SECONDS * RATE <= whole.shape[1] <= SECONDS * RATE + 1024  # some are made of blocks
    for part in (0.95, 0.5):
        path.write_bytes(content[: round(part * len(content))])
        with refused("cut off|lost sync", path):
            mono_audio(open_recording(path).to_cut())


def test_every_format_was_tried():
    assert {container for container, _, _ in KINDS} == set(FORMATS)
    assert len(KINDS) > 100


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_written_into_a_pipe_does_not_know_its_size(tmp_path, stated):
    path = tmp_path / "piped.wav"
    content = bytearray(written(path, "WAV", "PCM_16"))
    assert content[36:40] == b"data"
    content[40:44] = struct.pack("<I", stated)
    path.write_bytes(content)
    assert mono_audio(open_recording(path).to_cut()).shape == (1, SECONDS * RATE)


def test_an_au_written_into_a_pipe_does_not_know_its_size(tmp_path):
    path = tmp_path / "piped.au"
    content = bytearray(written(path, "AU", "PCM_16"))
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)
    assert mono_audio(open_recording(path).to_cut()).shape == (1, SECONDS * RATE)


def test_chunks_after_the_sound_may_be_missing(tmp_path):
    """The sound is whole."""
    content = written(tmp_path / "x.wav", "WAV", "PCM_16")
    assert not fault(io.BytesIO(content + b"LIST\x00\x01\x00\x00INFO"))


def test_an_mp3_without_a_size_is_cut_off_where_its_last_frame_is(shared):
    """These are of Common Voice, and say nothing about their length."""
    files = sorted((shared / "data" / "commonvoice-mini" / "clips").glob("*.mp3"))
    assert len(files) > 30
    for file in files:
        content = file.read_bytes()
        assert b"Xing" not in content[:300]
        assert b"Info" not in content[:300]
        assert not examine_mp3(io.BytesIO(content)).fault
        assert not examine_mp3(io.BytesIO(content + b"TAG" + bytes(125))).fault
        assert examine_mp3(io.BytesIO(content[: len(content) // 2])).fault == CUT_OFF


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_that_no_sound_has_are_refused_before_a_sample_is_read(tmp_path, rate):
    path = tmp_path / "x.wav"
    content = bytearray(written(path, "WAV", "PCM_16"))
    content[24:32] = struct.pack("<II", rate, 0)
    path.write_bytes(content)
    with refused(f"sampling rate of {rate} Hz", path):
        open_recording(path)


@pytest.mark.parametrize("frames", [0, 2**36 - 1])
def test_a_flac_cannot_hold_more_than_its_size_allows(tmp_path, frames):
    path = tmp_path / "x.flac"
    content = bytearray(written(path, "FLAC", "PCM_16"))
    packed = int.from_bytes(content[18:26], "big") >> 36 << 36 | frames
    content[18:26] = packed.to_bytes(8, "big")
    path.write_bytes(content)
    with refused("more audio than its size can hold", path):
        open_recording(path)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_a_flac_whose_header_and_frames_state_two_rates_is_damaged(tmp_path, rate):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.zeros(4000), rate, format="FLAC")
    assert open_recording(path).sampling_rate == rate
    content = bytearray(path.read_bytes())
    packed = int.from_bytes(content[18:26], "big")
    content[18:26] = (packed & ((1 << 44) - 1) | (rate // 2) << 44).to_bytes(8, "big")
    path.write_bytes(content)
    if rate == 11025:  # a frame has no code for it, and need not say it again
        assert open_recording(path).sampling_rate == rate // 2
    else:
        with refused("header contradicts its size or itself", path):
            open_recording(path)


def test_an_au_that_states_less_than_it_holds_is_damaged(tmp_path):
    path = tmp_path / "x.au"
    content = bytearray(written(path, "AU", "PCM_16"))
    (stated,) = struct.unpack(">I", content[8:12])
    content[8:12] = struct.pack(">I", stated - 4096)
    path.write_bytes(content)
    with refused("header contradicts its size or itself", path):
        open_recording(path)


@pytest.mark.parametrize("size", [b"   1H24", b"   1020", b"   2000", b" 0 1024", b"   0000"])
def test_a_sphere_whose_header_has_no_such_size_is_damaged(tmp_path, size):
    path = tmp_path / "x.sph"
    content = bytearray(written(path, "NIST", "PCM_16"))
    assert content[8:15] == b"   1024"
    content[8:15] = size
    path.write_bytes(content)
    with refused("header contradicts its size or itself", path):
        open_recording(path)


@pytest.mark.parametrize("container", ["VOC", "MAT5", "IRCAM"])
def test_formats_that_cannot_be_checked_are_refused(tmp_path, container):
    path = tmp_path / "x"
    written(path, container, "PCM_16")
    with refused(f"format {container} is not read; convert it", path):
        open_recording(path)


def test_an_mp3_that_lost_what_says_its_size_is_not_guessed_at(tmp_path):
    """libsndfile guesses from the first frame, and would read four fifths of this file."""
    path = tmp_path / "x.mp3"
    content = written(path, "MP3", "MPEG_LAYER_III")
    for old, new in ((b"Xing", b"Xong"), (b"Xing", b"Xing\x1c"), (b"Info", b"Inbo"), (b"Info", b"Info\x1c")):
        if old in content[:300]:
            path.write_bytes(content.replace(old, new, 1)[: len(content)])
            with refused("x.mp3"):
                open_recording(path)


def test_an_mp3_with_a_hole_is_refused(tmp_path, shared):
    clip = sorted((shared / "data" / "commonvoice-mini" / "clips").glob("*.mp3"))[0].read_bytes()
    path = tmp_path / "x.mp3"
    path.write_bytes(clip[:5000] + bytes(100) + clip[5000:])
    with refused("x.mp3: the audio file is damaged"):
        open_recording(path)


@pytest.mark.parametrize(("format", "size_at"), [("WAV", 40), ("AIFF", None), ("RF64", None), ("W64", None)])
def test_a_size_that_lost_a_bit_is_noticed(tmp_path, format, size_at):
    """Else half of the sound would stand under the whole text."""
    path = tmp_path / "x.audio"
    content = written(path, format, "PCM_16")
    stated = (SECONDS * RATE * 2).to_bytes(4, "little")
    if format == "AIFF":
        stated = (SECONDS * RATE * 2 + 8).to_bytes(4, "big")
    if format == "W64":
        stated = (SECONDS * RATE * 2 + 24).to_bytes(4, "little")
    place = content.rfind(stated, 0, 200) if size_at is None else size_at
    assert content[place : place + 4] == stated
    half = (int.from_bytes(stated, "big" if format == "AIFF" else "little") // 2 + 2).to_bytes(
        4, "big" if format == "AIFF" else "little"
    )
    path.write_bytes(content[:place] + half + content[place + 4 :])
    with refused("the audio file is damaged"):
        open_recording(path)


def test_a_rate_that_lost_a_bit_is_noticed(tmp_path):
    path = tmp_path / "x.wav"
    content = written(path, "WAV", "PCM_16")
    path.write_bytes(content[:24] + (RATE + 2048).to_bytes(4, "little") + content[28:])
    with refused("the audio file is damaged"):
        open_recording(path)


def test_bytes_after_the_sound_of_a_sphere_file_are_no_sound(tmp_path):
    path = tmp_path / "x.sph"
    content = written(path, "NIST", "PCM_16")
    path.write_bytes(content + bytes(100))
    assert mono_audio(open_recording(path).to_cut()).shape == (1, SECONDS * RATE)


def test_a_long_recording_is_not_read_whole_to_see_what_it_is():
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            content = super().read(size)
            self.read_bytes += len(content)
            return content

    wav = Counting()
    soundfile.write(wav, np.zeros(1_000_000), RATE, format="WAV")
    wav.read_bytes = 0
    assert examine_mp3(wav) is None
    assert not fault(wav)
    assert wav.read_bytes < 1000


def test_a_rate_whose_filter_finds_no_memory_names_the_file(tmp_path, monkeypatch):
    def none_left(*arguments):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    path = tmp_path / "x.wav"
    soundfile.write(path, noise(), 16002)
    monkeypatch.setattr("lhotse.cut.data.DataCut.resample", none_left)
    with refused("can't allocate memory", path):
        audio_file_cut(path)
