import hashlib
import random

import pytest
from builders import refused

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.sentence_pieces import SentencePieceTokenizer
from hra_cli.errors import HraError


def test_text_survives_encoding(bpe_model):
    tokenizer = load_tokenizer(bpe_model)
    ids = tokenizer.encode("SEVEN NINE")
    assert all(0 <= one < tokenizer.vocab_size for one in ids)
    assert tokenizer.vocab_size == 40
    assert tokenizer.decode(ids) == "SEVEN NINE"
    assert "".join(tokenizer.pieces(ids)) == "▁SEVEN▁NINE"
    assert len(tokenizer.pieces(ids)) == len(ids)


def test_unknown_characters_are_named_once_and_sorted(bpe_model):
    tokenizer = load_tokenizer(bpe_model)
    assert tokenizer.unknown_characters("SEVEN  ONE") == ""
    assert tokenizer.unknown_characters("") == ""
    assert tokenizer.unknown_characters("ÜNE SIX? ÜP") == "?PÜ"


def test_fingerprint_is_the_hash_of_the_file(bpe_model):
    assert load_tokenizer(bpe_model).fingerprint == hashlib.sha256(bpe_model.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(100)])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "bpe.model"
    path.write_bytes(content)
    with pytest.raises(HraError, match=r"bpe\.model is not a sentencepiece model"):
        load_tokenizer(path)


def test_a_model_with_a_piece_that_is_no_text_is_refused(bpe_model, tmp_path):
    model = bpe_model.read_bytes()
    place = model.index("▁".encode())
    (tmp_path / "bpe.model").write_bytes(model[:place] + b"\xff" + model[place + 1 :])
    with refused(r"bpe\.model is not a sentencepiece model; give the bpe\.model of the recogniser"):
        load_tokenizer(tmp_path / "bpe.model")


def test_damage_anywhere_in_a_model_is_refused_or_leaves_a_tokenizer_that_works(bpe_model, tmp_path):
    whole = bpe_model.read_bytes()
    pick = random.Random(2)
    for _ in range(300):
        model = bytearray(whole)
        for _ in range(pick.choice((1, 8))):
            model[pick.randrange(len(model))] = pick.randrange(256)
        (tmp_path / "bpe.model").write_bytes(model[: pick.choice((len(model), len(model), pick.randrange(len(model))))])
        try:
            tokenizer = load_tokenizer(tmp_path / "bpe.model")
        except HraError:
            continue
        ids = tokenizer.encode("SEVEN ÜNÏ ﬁ 漢")
        assert all(0 <= one < tokenizer.vocab_size for one in ids)
        assert isinstance(tokenizer.decode(list(range(tokenizer.vocab_size))), str)
        tokenizer.unknown_characters("SEVEN ÜNÏ ﬁ 漢")


def test_half_a_character_is_unknown(bpe_model):
    tokenizer = load_tokenizer(bpe_model)
    assert tokenizer.unknown_characters("SEVEN \ud800NINE") == "\ue000"
    assert tokenizer.encode("SEVEN \ud800NINE") == tokenizer.encode("SEVEN \ue000NINE")


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(HraError, match=r"cannot read the tokenizer .*nowhere: No such file"):
        SentencePieceTokenizer(tmp_path / "nowhere")
