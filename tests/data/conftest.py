"""A small corpus and a tokenizer, made by code."""

from pathlib import Path

import pytest
import sentencepiece as spm
from lhotse import CutSet
from recordings import make_cut, write_wav


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
