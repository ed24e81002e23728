"""Small recordings made by code, and the cuts that refer to them."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece as spm
import soundfile
from lhotse import CutSet, Recording, SupervisionSegment


def write_wav(path, seconds=0.5, rate=8000, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return path


def make_cut(path, text="ONE TWO", speaker="ann", **custom):
    """A cut over all of an audio file, with one supervision that holds `custom`."""
    recording = Recording.from_file(path)
    cut = recording.to_cut()
    cut.supervisions = [
        SupervisionSegment(
            id=recording.id,
            recording_id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=cut.channel,
            text=text,
            speaker=speaker,
            custom=custom or None,
        )
    ]
    return cut


@pytest.fixture
def corpus(tmp_path) -> CutSet:
    """Six utterances of ann and six of bob, of different lengths."""
    return CutSet.from_cuts(
        make_cut(
            write_wav(tmp_path / "audio" / f"{speaker}-{index}.wav", 0.3 + 0.05 * index, seed=index),
            speaker=speaker,
        )
        for speaker in ("ann", "bob")
        for index in range(6)
    )


@pytest.fixture(scope="session")
def bpe_model(tmp_path_factory) -> Path:
    """A sentencepiece model that knows the characters of the ten digits' names, in capitals."""
    folder = tmp_path_factory.mktemp("lang")
    digits = ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(digits * 5),
        model_prefix=str(folder / "bpe"),
        model_type="bpe",
        vocab_size=40,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        unk_id=2,
        user_defined_symbols=["<blk>", "<sos/eos>"],
        minloglevel=2,
    )
    return folder / "bpe.model"
