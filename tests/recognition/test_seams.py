"""Windows that overlap, joined: every word comes out once, whatever each window made of its edges."""

import random

import pytest
from speech import BACKBONE

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.tokenizer import WORD_START
from hra_cli.recognition.seams import joined
from hra_cli.recognition.units import Units
from hra_cli.transducer.search_interface import Hypothesis

BEGIN, END = 750, 900  # frames of 40 ms that both windows have heard
MIDDLE = (BEGIN + END) / 2


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(BACKBONE)


@pytest.fixture(scope="module")
def units(tokenizer):
    return Units(tokenizer)


@pytest.fixture(scope="module")
def heard(tokenizer):
    """Makes a hypothesis of words and the frames on which they begin; tokens of a word are two frames apart."""

    def make(*words):
        tokens, frames = [], []
        for text, begin in words:
            ids = tokenizer.encode(text)
            tokens += ids
            frames += [begin + 2 * n for n in range(len(ids))]
        return Hypothesis(tokens, frames)

    return make


def text(tokenizer, found):
    assert found.frames == sorted(found.frames)
    return tokenizer.decode(found.tokens)


def test_a_word_across_the_edge_of_a_window_comes_out_once(tokenizer, units, heard):
    """Both windows have a piece of a word at their edge, and the word between them whole."""
    left = heard(("TURN", 700), ("OFF", 760), ("THE", 800), ("KITCHEN", 830), ("LIE", 895))
    right = heard(("FAN", 751), ("THE", 800), ("KITCHEN", 831), ("LIGHT", 890), ("NOW", 950))
    assert text(tokenizer, joined(left, right, BEGIN, END, units)) == "TURN OFF THE KITCHEN LIGHT NOW"


def test_a_word_of_several_tokens_in_the_middle_is_not_cut(tokenizer, units, heard):
    """The windows emit it at times of their own, to both sides of where a cut by time would be."""
    assert len(tokenizer.encode("GRASSHOPPER")) > 3
    for shift in range(-8, 9):
        left = heard(("ON", 700), ("GRASSHOPPER", round(MIDDLE) - 3))
        right = heard(("GRASSHOPPER", round(MIDDLE) - 3 + shift), ("MORNING", 920))
        assert text(tokenizer, joined(left, right, BEGIN, END, units)) == "ON GRASSHOPPER MORNING"


def test_a_word_said_three_times_comes_out_three_times(tokenizer, units, heard):
    said = [("NO", 790), ("NO", 802), ("NO", 814), ("NO", 826), ("NO", 838)]
    for shift in (-3, 0, 3):
        right = heard(*((word, frame + shift) for word, frame in said))
        assert text(tokenizer, joined(heard(*said), right, BEGIN, END, units)) == "NO NO NO NO NO"


def test_where_no_word_agrees_the_seam_lies_in_a_silence_of_both(tokenizer, units, heard):
    left = heard(("ONE", 740), ("TWO", 760), ("SIX", 870))
    right = heard(("NINE", 762), ("FOUR", 868), ("FIVE", 930))
    assert text(tokenizer, joined(left, right, BEGIN, END, units)) == "ONE TWO FOUR FIVE"


def test_where_there_is_neither_no_word_is_cut_and_none_is_doubled(tokenizer, units, heard):
    left = heard(*((word, 750 + 10 * n) for n, word in enumerate(["ONE", "TWO", "SIX"] * 5)))
    right = heard(*((word, 752 + 10 * n) for n, word in enumerate(["FOUR", "FIVE", "NINE"] * 5)))
    words = text(tokenizer, joined(left, right, BEGIN, END, units)).split()
    assert len(words) == 15
    place = next(n for n, word in enumerate(words) if word in ("FOUR", "FIVE", "NINE"))
    assert 3 < place < 12
    assert not {"ONE", "TWO", "SIX"} & set(words[place:])


def test_silence_of_one_window_or_both(tokenizer, units, heard):
    nothing = Hypothesis()
    assert joined(nothing, nothing, BEGIN, END, units) == nothing
    early, late = heard(("ONE", 700), ("TWO", 770)), heard(("TWO", 770), ("SIX", 960))
    assert text(tokenizer, joined(early, nothing, BEGIN, END, units)) == "ONE TWO"
    assert text(tokenizer, joined(nothing, late, BEGIN, END, units)) == "SIX"
    assert text(tokenizer, joined(early, late, BEGIN, END, units)) == "ONE TWO SIX"


def test_segments_that_do_not_overlap_are_put_one_after_the_other(tokenizer, units, heard):
    found = joined(heard(("ONE", 100), ("TWO", 110)), heard(("TWO", 130), ("SIX", 140)), 130, 120, units)
    assert text(tokenizer, found) == "ONE TWO TWO SIX"


@pytest.mark.parametrize("seed", range(200))
def test_whatever_the_edges_hold_the_words_are_those_that_were_said(tokenizer, units, heard, seed):
    """Each window hears what is farther than a second from its edges as it was said, up to two frames early or late."""
    chooser = random.Random(seed)
    words, frame = [], 600
    while frame < 1050:
        words.append((chooser.choice(["ONE", "TWO", "THREE", "SEVEN", "KITCHEN", "THE", "WEDNESDAY", "A"]), frame))
        frame += chooser.choice([12, 14, 20, 60]) + 2 * len(tokenizer.encode(words[-1][0]))
    noise = ["LIGHT", "RED", "TEA"]

    def window(first, last):
        seen = []
        for word, begin in words:
            if first <= begin < last:
                near = begin - first < 25 * (first > 0) or last - begin < 25 * (last < 1100)
                moved = begin + chooser.randint(-2, 2)
                if not near or chooser.random() < 0.3:
                    seen.append((word, moved))
                elif chooser.random() < 0.7:
                    seen.append((chooser.choice(noise), moved))
        return heard(*seen)

    found = joined(window(0, END), window(BEGIN, 1100), BEGIN, END, units)
    assert text(tokenizer, found).split() == [word for word, _ in words]


def test_characters_of_a_script_without_spaces_are_words_of_their_own(units, tokenizer):
    class Characters:
        """As of icefall's lang_char: a token is a character."""

        vocab_size = 5

        def pieces(self, ids):
            return [["<blk>", "你", "好", "世", "界"][id_] for id_ in ids]

    units_of = Units(Characters())
    found = units_of.of(Hypothesis([1, 2, 3, 4], [10, 20, 30, 40]))
    assert [(one.text, one.begin, one.spaced) for one in found] == [
        ("你", 10, False), ("好", 20, False), ("世", 30, False), ("界", 40, False),
    ]  # fmt: skip
    left, right = Hypothesis([1, 2, 3], [760, 800, 830]), Hypothesis([2, 3, 4], [801, 830, 910])
    assert joined(left, right, BEGIN, END, units_of).tokens == [1, 2, 3, 4]
    ids = tokenizer.encode("KITCHEN LIGHT")
    assert [one.text for one in units.of(Hypothesis(ids, list(range(len(ids)))))] == [
        f"{WORD_START}KITCHEN", f"{WORD_START}LIGHT",
    ]  # fmt: skip
