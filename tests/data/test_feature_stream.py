"""Features of sound as it comes, in pieces of any size, against those of the whole recording."""

import io

import numpy as np
import pytest
import soundfile
import torch
from builders import refused
from lhotse import Recording

from hra_cli.data.feature_stream import FeatureStream
from hra_cli.data.features import fbank


def in_pieces(samples, rate, seed=0):
    stream, chooser, found, begin = FeatureStream(), np.random.default_rng(seed), [], 0
    while begin < len(samples):
        end = begin + int(chooser.integers(1, 2000))
        found.append(stream.accept(samples[begin:end], rate))
        begin = end
    return torch.cat([*found, stream.finish()])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("length", [0.036, 0.05, 0.1, 1.0049, 1.005, 2.083])
def test_they_are_those_of_the_whole(rate, length):
    samples = np.random.default_rng(1).normal(0, 0.1, round(length * rate)).astype(np.float32)
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype="FLOAT")
    at_16k = Recording.from_bytes(stream.getvalue(), "a").resample(16000).load_audio()
    whole = torch.as_tensor(fbank().extract(torch.from_numpy(at_16k), 16000))
    found = in_pieces(samples, rate)
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 2e-3  # of logarithms, of energies that may be near zero
    assert (found - whole).abs().mean() < 1e-5


def test_frames_come_as_soon_as_their_samples_are_there():
    stream = FeatureStream()
    assert len(stream.accept(np.zeros(1600, np.float32), 16000)) == 9  # of ten; the tenth looks ahead
    assert len(stream.accept([0.0] * 160, 16000)) == 1


@pytest.mark.parametrize("length", [1, 80, 100, 139, 140])
def test_less_sound_than_a_frame_is_no_sound(length):
    # lhotse makes a frame of 80 samples or more, and fails at fewer than 140.
    stream = FeatureStream()
    stream.accept(np.full(length, 0.1, np.float32), 16000)
    assert len(stream.finish()) == (length >= 140)


def test_any_array_of_floats_is_heard():
    samples = 0.1 * np.sin(np.arange(2000) / 9)

    def of(heard):
        return torch.cat([(stream := FeatureStream()).accept(heard, 16000), stream.finish()])

    expected = of(samples.tolist())
    backwards = samples[::-1].copy()[::-1]
    for heard in (samples.astype(">f4"), backwards, torch.from_numpy(samples).requires_grad_()):
        assert torch.equal(of(heard), expected)


def test_samples_that_cannot_be_written_warn_of_nothing(recwarn):
    FeatureStream().accept(np.frombuffer(bytes(400), np.float32), 16000)
    assert not [one for one in recwarn if "writable" in str(one.message)]


def test_a_rate_may_be_a_float_as_sounddevice_gives_it():
    assert len(FeatureStream().accept(np.zeros(8820), 44100.0)) == len(FeatureStream().accept(np.zeros(8820), 44100))


def test_nothing_heard_is_nothing():
    assert FeatureStream().finish().shape == (0, 80)
    stream = FeatureStream()
    assert stream.accept(np.zeros(0, np.float32), 8000).shape == (0, 80)
    assert stream.finish().shape == (0, 80)


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros((2, 100), np.float32), 16000, r"one channel.*\(2, 100\)"),
        (np.zeros(100, np.int16), 16000, "floats from -1 to 1.*int16"),
        (np.array([0.1, 1e30]), 16000, "far beyond any sound"),
        (["a", "b"], 16000, "floats from -1 to 1"),
        ([[0.1], [0.1, 0.2]], 16000, "floats from -1 to 1"),
        (None, 16000, "floats from -1 to 1"),
        (np.array([0.1, np.nan]), 16000, "not all finite"),
        (np.zeros(100), 44100.5, "no sound has a sampling rate of 44100.5 Hz"),
        (np.zeros(100), "16000", "no sound has a sampling rate of 16000 Hz"),
        (np.zeros(100), 5, "no sound has a sampling rate of 5 Hz"),
        (np.zeros(100), 8000, "began with 16000 Hz and goes on with 8000 Hz"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate, words):
    stream = FeatureStream()
    if rate == 8000:
        stream.accept(np.zeros(100), 16000)
    with refused(words):
        stream.accept(samples, rate)
