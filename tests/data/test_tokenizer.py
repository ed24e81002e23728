import hashlib

import pytest

from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError


def test_text_survives_encoding(bpe_model):
    tokenizer = Tokenizer(bpe_model)
    ids = tokenizer.encode("SEVEN NINE")
    assert all(0 <= one < tokenizer.vocab_size for one in ids)
    assert tokenizer.vocab_size == 40
    assert tokenizer.decode(ids) == "SEVEN NINE"
    assert "".join(tokenizer.pieces(ids)) == "▁SEVEN▁NINE"
    assert len(tokenizer.pieces(ids)) == len(ids)


def test_unknown_characters_are_named_once_and_sorted(bpe_model):
    tokenizer = Tokenizer(bpe_model)
    assert tokenizer.unknown_characters("SEVEN  ONE") == ""
    assert tokenizer.unknown_characters("") == ""
    assert tokenizer.unknown_characters("ÜNE SIX? ÜP") == "?PÜ"


def test_fingerprint_is_the_hash_of_the_file(bpe_model):
    assert Tokenizer(bpe_model).fingerprint == hashlib.sha256(bpe_model.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(100)])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "bpe.model"
    path.write_bytes(content)
    with pytest.raises(HraError, match=r"bpe\.model is not a sentencepiece model"):
        Tokenizer(path)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(HraError, match=r"cannot read the tokenizer .*nowhere: No such file"):
        Tokenizer(tmp_path / "nowhere")
