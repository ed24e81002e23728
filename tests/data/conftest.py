"""A small corpus and a tokenizer, made by code."""

from pathlib import Path

import pytest
from lhotse import CutSet
from recordings import digits_bpe, make_cut, write_wav


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
    return digits_bpe(tmp_path_factory.mktemp("lang"), vocab_size=40)
