"""Tokenizers of a tokens.txt alone: icefall's characters, and other units."""

import hashlib

import pytest
from builders import refused

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.token_table import token_table

SPECIAL = ["<blk>", "<sos/eos>", "<unk>"]


@pytest.fixture
def tokenizer_of(tmp_path):
    def make(*tokens):
        (tmp_path / "tokens.txt").write_text(token_table(tokens), encoding="utf-8")
        return load_tokenizer(tmp_path)

    return make


def test_characters_as_icefall_writes_them(tokenizer_of):
    """Spaces have no token, what is not in the table is <unk>, and errors are counted on characters."""
    tokenizer = tokenizer_of(*SPECIAL, "你", "好", "中", "国", "A", "I")
    assert tokenizer.kind == "characters"
    assert tokenizer.vocab_size == 9
    assert tokenizer.encode("你好 中国\tAI") == [3, 4, 5, 6, 7, 8]
    assert tokenizer.encode("你不好") == [3, 2, 4]
    assert tokenizer.decode([3, 4, 5, 6]) == "你好中国"
    assert tokenizer.decode([3, 2, 1, 0, 4]) == "你⁇好"
    assert tokenizer.pieces([0, 2, 4]) == ["<blk>", "<unk>", "好"]
    assert tokenizer.words(" 你好 中国 ") == ["你", "好", "中", "国"]
    assert tokenizer.words(tokenizer.decode([3, 2, 4])) == ["你", "⁇", "好"]
    assert tokenizer.unknown_characters("你不好 ai 不") == "ai不"
    assert tokenizer.unknown_characters("你 好") == ""
    assert tokenizer.unknown_characters("你\ud800") == "\ue000"


@pytest.mark.parametrize("space", ["<space>", "▁", ""])
def test_a_token_for_spaces_makes_words(tokenizer_of, space):
    tokenizer = tokenizer_of("<blk>", "<unk>", space, *"ABC'")
    assert tokenizer.encode("  AB  C'A ") == [3, 4, 2, 5, 6, 3]
    assert tokenizer.decode([2, 3, 4, 2, 2, 5, 6, 3]) == "AB C'A"
    assert tokenizer.words("AB C'A") == ["AB", "C'A"]
    assert tokenizer.unknown_characters("AB D") == "D"
    assert tokenizer.pieces([2]) == ["▁"]  # which sherpa-onnx shows as a space


def test_where_special_tokens_stand_at_the_end(tokenizer_of):
    tokenizer = tokenizer_of("<blk>", "日", "本", "<unk>", "<sos/eos>", "#0")
    assert tokenizer.vocab_size == 5
    assert tokenizer.encode("日本 x") == [1, 2, 3]


def test_without_unk_what_is_not_known_is_left_out_and_named(tokenizer_of):
    tokenizer = tokenizer_of("<blk>", "a", "b")
    assert tokenizer.encode("axb") == [1, 2]
    assert tokenizer.unknown_characters("axb") == "x"


def test_a_special_token_in_a_text_is_its_characters(tokenizer_of):
    tokenizer = tokenizer_of(*SPECIAL, "a", "<", ">")
    assert tokenizer.encode("<a>") == [4, 3, 5]
    assert tokenizer.unknown_characters("<blk>") == "bkl"


def test_other_units_have_spaces_between(tokenizer_of):
    tokenizer = tokenizer_of("<eps>", "SIL", "AA0", "B", "IY1", "<unk>")
    assert tokenizer.kind == "units with spaces between"
    assert tokenizer.encode("B IY1  AA0") == [3, 4, 2]
    assert tokenizer.encode("B AA1") == [3, 5]
    assert tokenizer.decode([3, 4, 2]) == "B IY1 AA0"
    assert tokenizer.words("B IY1") == ["B", "IY1"]
    assert tokenizer.unknown_characters("B AA1 IY1 ZZ") == "AA1 ZZ"
    assert not tokenizer.has_characters


def test_pieces_of_sentencepiece_need_their_model(tokenizer_of):
    with refused("has pieces of a sentencepiece model .▁THE.; put its bpe.model beside it"):
        tokenizer_of(*SPECIAL, "▁THE", "S")
    with refused("has nothing to write with"):
        tokenizer_of(*SPECIAL)


def test_the_fingerprint_is_that_of_the_tokens(tokenizer_of, tmp_path):
    first = tokenizer_of(*SPECIAL, "a", "b")
    assert first.fingerprint == hashlib.sha256((tmp_path / "tokens.txt").read_bytes()).hexdigest()
    assert tokenizer_of(*SPECIAL, "a", "b", "#0").fingerprint == first.fingerprint
    assert tokenizer_of(*SPECIAL, "b", "a").fingerprint != first.fingerprint
