"""Reading audio: nothing is run by a file or its name, and every cause of failure is passed on."""

import io
import json
import os
import stat
import sys

import numpy as np
import pytest
import soundfile
from builders import refused
from lhotse import CutSet, Recording
from recordings import make_cut, write_wav

from hra_cli.data.audio import mono_audio, open_recording
from hra_cli.data.batches import load_batches

# What a shell would make of these creates a file called "ran".
NAMES = [
    "a;touch ran;.sph",
    "$(touch ran).sph",
    "`touch ran`.opus",
    "a'; touch ran; '.opus",
    "a\ntouch ran\n.wav",
    "|touch ran",
    "-x.wav",
    "-",
    "pipe:touch ran",
    "a 'b' \"c\" &.flac",
    os.fsdecode(b"\xff\xfe.wav"),
]
FORMATS = {".sph": ("NIST", "PCM_16"), ".opus": ("OGG", "OPUS"), ".flac": ("FLAC", "PCM_16")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder as the working directory, in which no command may leave a trace."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "ran").exists()


def program(folder, name, body):
    """A stand-in for a program that is not here: prints its arguments as JSON to NAME.json, then runs `body`."""
    file = folder / name
    file.write_text(
        f"#!{sys.executable}\nimport io, json, sys, numpy, soundfile\n"
        f"json.dump(sys.argv[1:], open({str(folder / (name + '.json'))!r}, 'w'))\n{body}"
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(here, name):
    container, subtype = FORMATS.get(os.path.splitext(name)[1], ("WAV", "PCM_16"))
    samples = np.random.default_rng(0).normal(0, 0.1, 8000)
    stream = io.BytesIO()
    soundfile.write(stream, samples, 8000, subtype, format=container)
    with open(os.path.join(here, name), "wb") as file:
        file.write(stream.getvalue())
    recording = open_recording(name)
    read = mono_audio(recording.to_cut())
    assert read.shape == (1, 8000)
    assert np.corrcoef(read[0], samples)[0, 1] > 0.5


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(("kind", "source"), [("command", "touch ran; cat a.wav"), ("url", "file:///etc/hostname")])
def test_commands_and_urls_of_a_manifest_are_not_followed(here, kind, source, num_workers):
    cut = make_cut(write_wav(here / "a.wav"))
    cut.recording.sources[0].type, cut.recording.sources[0].source = kind, source
    with refused(f"'{kind}'.*hra prepare.*--allow-commands", source):
        mono_audio(cut)
    with refused(f"cannot read cut '{cut.id}'.*--allow-commands"):
        list(load_batches([CutSet.from_cuts([cut])], num_workers))


def test_commands_are_run_where_that_is_asked_for(tmp_path):
    file = write_wav(tmp_path / "a.wav")
    cut, piped = make_cut(file), make_cut(file)
    piped.recording.sources[0].type, piped.recording.sources[0].source = "command", f"cat '{file}'"
    assert np.array_equal(mono_audio(piped, allow_commands=True), mono_audio(cut))
    piped.recording.sources[0].source = "echo broken >&2; exit 3"
    with refused("the command has failed: broken"):
        mono_audio(piped, allow_commands=True)


def test_a_reverberation_that_brings_its_own_recording_is_refused(here):
    cut = make_cut(write_wav(here / "a.wav", rate=16000))
    echo = make_cut(write_wav(here / "echo.wav", rate=16000)).recording
    echo.sources[0].type, echo.sources[0].source = "command", "touch ran; cat echo.wav"
    for recording in (cut.recording.reverb_rir(echo), Recording.from_dict(cut.recording.reverb_rir(echo).to_dict())):
        cut.recording = recording
        with refused("'ReverbWithImpulseResponse', which is not done here"):
            mono_audio(cut)


def test_audio_in_memory_is_read(tmp_path):
    file = write_wav(tmp_path / "a.wav", channels=2)
    in_memory = Recording.from_bytes(file.read_bytes(), "a").to_cut()
    assert np.array_equal(mono_audio(in_memory), mono_audio(make_cut(file)))


def test_a_length_that_contradicts_the_manifest_is_noticed(tmp_path):
    file = write_wav(tmp_path / "a.wav", rate=8000, seconds=1.0)
    cuts = [make_cut(file), make_cut(file).perturb_speed(0.9), make_cut(file).perturb_speed(1.1).resample(16000)]
    last = make_cut(file).truncate(offset=0.5)
    for cut in (*cuts, last):
        assert mono_audio(cut).shape[1] == cut.num_samples
    write_wav(file, rate=8000, seconds=1.1)  # as another decoder might find it
    for cut in cuts:
        assert mono_audio(cut).shape[1] == cut.num_samples
    for seconds in (0.7, 1.3):
        write_wav(file, rate=8000, seconds=seconds)
        for cut in cuts:
            with refused("it has .* of audio and not 1.00 s, as the manifest .* says", file, seconds):
                mono_audio(cut)
    assert mono_audio(last).shape[1] == last.num_samples  # all of it is there
    write_wav(file, rate=8000, seconds=0.7)
    with refused("from 0.50 s on it has 0.20 s of audio and not 0.50 s", file):
        mono_audio(last)


def test_a_rate_whose_resampling_takes_gigabytes_is_refused(tmp_path):
    for rate in (44101, 767_999):
        file = write_wav(tmp_path / "a.wav", rate=rate, seconds=0.1)
        with refused(f"resampling from {rate} Hz to 16000 Hz takes many gigabytes", file):
            open_recording(file)
    cut = make_cut(write_wav(tmp_path / "b.wav", rate=16000))
    with refused("resampling from 14403 Hz to 16000 Hz"):
        mono_audio(cut.perturb_speed(0.9002))


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 22050, 24000, 32000, 37800, 44100, 48000, 88200, 96000, 192000])
def test_usual_rates_are_resampled(tmp_path, rate):
    cut = open_recording(write_wav(tmp_path / "a.wav", rate=rate, seconds=0.2)).to_cut()
    assert mono_audio(cut.resample(16000)).shape == (1, 3200)


def test_audio_that_is_not_there_yet_is_refused(tmp_path):
    cut = make_cut(write_wav(tmp_path / "a.wav"))
    cut.recording.sources[0].type = "shar"
    with refused("it lies in a Shar archive", "hra prepare shar"):
        mono_audio(cut)
    with refused("MixedCut of several recordings"):
        mono_audio(make_cut(tmp_path / "a.wav").append(make_cut(tmp_path / "a.wav")))


@pytest.mark.parametrize("on_the_way", [lambda cut: cut, lambda cut: cut.resample(16000)])
def test_a_rate_or_channels_that_contradict_the_manifest_are_noticed(tmp_path, on_the_way):
    file = write_wav(tmp_path / "a.wav", rate=8000, seconds=1.0)
    cut = on_the_way(make_cut(file))
    assert mono_audio(cut).shape[1] == cut.num_samples
    samples, _ = soundfile.read(file)
    soundfile.write(file, np.repeat(samples, 2), 16000)
    with refused("the sampling rate is 16000 Hz and not 8000 Hz, as the manifest says", file):
        mono_audio(cut)
    write_wav(file, rate=8000, seconds=1.0, channels=2)
    with refused("it has 2 channels and not 1, as the manifest says", file):
        mono_audio(cut)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    file = tmp_path / "a.wav"
    samples = np.zeros(8000, np.float32)
    samples[4000] = value
    soundfile.write(file, samples, 8000, subtype="FLOAT")
    cut = make_cut(file)
    for one in (cut, cut.resample(16000)):
        with refused("not all finite numbers", file):
            mono_audio(one)
    with refused(f"cannot read cut '{cut.id}'.*not all finite numbers"):
        list(load_batches([CutSet.from_cuts([cut.resample(16000)])]))


def test_parts_of_recordings_are_those_of_the_whole(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 16000)
    for container, subtype in (("WAV", "PCM_16"), ("WAV", "GSM610"), ("AU", "G721_32")):  # the last two cannot seek
        file = tmp_path / f"{subtype}.audio"
        soundfile.write(file, samples, 8000, subtype, format=container)
        cut = open_recording(file).to_cut()
        part = mono_audio(cut.truncate(offset=0.5, duration=0.25))
        assert np.array_equal(part, mono_audio(cut)[:, 4000:6000])


def test_what_is_no_audio_file_is_called_what_it_is(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    for name, message in [
        ("", "this is a folder; give the audio files in it"),
        ("nowhere.wav", "no such audio file"),
        ("pipe.wav", "this is no regular file"),
        ("text.wav", "not an audio file"),
        ("empty.wav", "not an audio file"),
        ("x" * 300, "no such audio file"),
    ]:
        with refused(f"^{tmp_path / name}: {message}"):
            open_recording(tmp_path / name)
    (tmp_path / "two\nlines.wav").touch()
    with refused("two lines.wav: not an audio file"):
        open_recording(tmp_path / "two\nlines.wav")


def test_formats_that_need_a_program_name_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, content, message in [
        ("a.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), "an MP4 or M4A file, which needs ffmpeg or torchaudio"),
        ("a.wav", b"\x1aE\xdf\xa3" + bytes(100), "a WebM or Matroska file, which needs ffmpeg or torchaudio"),
        ("a.sph", shortened(800), "compressed by shorten, which needs sph2pipe, and that is not installed"),
    ]:
        (tmp_path / name).write_bytes(content)
        with refused(message, tmp_path / name):
            open_recording(tmp_path / name)


def shortened(samples):
    fields = f"sample_count -i {samples}\nchannel_count -i 1\nsample_rate -i 8000\nsample_n_bytes -i 2\n"
    coding = "sample_coding -s26 pcm,embedded-shorten-v2.00\n"
    return f"NIST_1A\n   1024\n{fields}{coding}end_head\n".encode().ljust(1024) + bytes(400)


def test_compressed_sphere_goes_through_sph2pipe_without_a_shell(here, monkeypatch):
    wav = "stream = io.BytesIO()\nsoundfile.write(stream, numpy.arange(800) / 1000, 8000, format='WAV')\n"
    program(here, "sph2pipe", wav + "sys.stdout.buffer.write(stream.getvalue())\n")
    monkeypatch.setenv("PATH", str(here))
    name = "a;touch ran; 'b' $(touch ran).sph"
    (here / name).write_bytes(shortened(800))
    recording = open_recording(name)
    assert (recording.num_samples, recording.sampling_rate) == (800, 8000)
    assert mono_audio(recording.to_cut())[0] == pytest.approx(np.arange(800) / 1000, abs=1e-4)
    assert json.loads((here / "sph2pipe.json").read_text()) == ["-f", "wav", "-p", str(here / name)]
    (here / name).write_bytes(shortened(900))
    with refused("cut off"):
        mono_audio(open_recording(name).to_cut())


def test_m4a_goes_through_ffmpeg_without_a_shell(here, monkeypatch):
    about = "Duration: 00:00:00.10\\n Stream #0: Audio: aac, 8000 Hz, mono, s16\\n"
    sound = "(1000 * numpy.ones(800)).astype('<i2').tobytes()"
    program(here, "ffmpeg", f"sys.stderr.write('{about}')\nsys.stderr.flush()\nsys.stdout.buffer.write({sound})\n")
    monkeypatch.setenv("PATH", str(here))
    name = "a;touch ran; 'b' $(touch ran).m4a"
    (here / name).write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    recording = open_recording(name)
    assert (recording.num_samples, recording.sampling_rate) == (800, 8000)
    assert mono_audio(recording.to_cut())[0] == pytest.approx(np.full(800, 1000 / 32768))
    assert str(here / name) in json.loads((here / "ffmpeg.json").read_text())
