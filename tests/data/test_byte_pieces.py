"""Byte-level BPE, as icefall's byte_utils.py has it."""

import random
import unicodedata

import pytest
from recordings import digits_bbpe, train_bbpe

from hra_cli.data.byte_pieces import CHARACTER_OF_BYTE
from hra_cli.data.find_tokenizer import load_tokenizer

# Published in icefall/byte_utils.py as a list of code points, here in runs.
PUBLISHED = [
    *range(256, 288), *range(32, 127), *range(288, 306), *range(308, 319), *range(321, 329), *range(330, 383),
    *range(384, 423),
]  # fmt: skip


def test_the_mapping_is_the_published_one():
    assert [ord(char) for char in CHARACTER_OF_BYTE] == PUBLISHED
    assert len(set(CHARACTER_OF_BYTE)) == 256
    for char in CHARACTER_OF_BYTE:
        assert unicodedata.normalize("NFKC", char) == char


def test_known_texts_become_the_published_characters():
    def written(text):
        return "".join(CHARACTER_OF_BYTE[byte] for byte in text.encode("utf-8"))

    assert [written(char) for char in "你好北京"] == ["ƋţŅ", "ƌŋţ", "ƌĭĺ", "ƋŠŒ"]
    assert written("IT'S 5") == "IT'S 5"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bbpe")
    train_bbpe(folder, ["你好 世界", "HELLO WORLD", "你好吗 OK", "世界 你好 HELLO 吗"] * 20, 70)
    return load_tokenizer(folder)


def test_chinese_and_english_survive_encoding(chinese):
    ids = chinese.encode("你好 HELLO WORLD 世界")
    assert chinese.decode(ids) == "你好 HELLO WORLD 世界"
    # icefall writes every Chinese character as a word of its own, and so does it count errors.
    assert chinese.encode("你好HELLO  WORLD世界") == ids
    assert chinese.words("你好HELLO WORLD世界") == ["你", "好", "HELLO", "WORLD", "世", "界"]
    assert all(0 < one < chinese.vocab_size for one in ids)
    assert chinese.pieces(ids)[0].startswith("▁")
    assert chinese.unknown_characters("你好 HELLO") == ""
    assert chinese.unknown_characters("Żx你 ☃Ż") == "xŻ☃"
    assert chinese.unknown_characters("\ud800") == "\ue000"


def best_recovery(data: bytes) -> int:
    """The most characters that can be read in some of the bytes, in order: what icefall's smart_byte_decode finds."""
    best = [0] * (len(data) + 1)
    for end in range(1, len(data) + 1):
        best[end] = best[end - 1]
        for length in range(1, min(4, end) + 1):
            try:
                read = data[end - length : end].decode("utf-8")
            except UnicodeDecodeError:
                continue
            if len(read) == 1:
                best[end] = max(best[end], best[end - length] + 1)
    return best[-1]


def test_half_characters_are_left_out_as_icefall_does():
    pick = random.Random(1)
    for _ in range(500):
        data = bytearray("你A好é世☃界 𝄞b".encode() * 2)
        for _ in range(pick.randrange(1, 8)):
            place = pick.randrange(len(data))
            if pick.random() < 0.5:
                del data[place]
            else:
                data[place] = pick.randrange(256)
        assert len(bytes(data).decode("utf-8", "ignore")) == best_recovery(bytes(data))


def test_half_a_character_in_tokens_costs_no_other(chinese):
    ids = chinese.encode("你好 HELLO")
    for cut in range(len(ids)):
        text = chinese.decode(ids[:cut] + ids[cut + 1 :])
        assert isinstance(text, str)
        assert "\ufffd" not in text
    assert chinese.decode([2]).strip() == "⁇"
    assert chinese.decode([]) == ""


def test_plain_english_is_as_with_a_model_of_characters(tmp_path):
    digits_bbpe(tmp_path, 40)
    tokenizer = load_tokenizer(tmp_path)
    ids = tokenizer.encode("SEVEN NINE")
    assert "".join(tokenizer.pieces(ids)) == "▁SEVEN▁NINE"
    assert tokenizer.decode(ids) == "SEVEN NINE"
    assert tokenizer.words("SEVEN NINE") == ["SEVEN", "NINE"]
    assert tokenizer.unknown_characters("seven 7") == "7ensv"
