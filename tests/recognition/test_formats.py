"""Transcripts as other programs read them."""

import json
import re

import pytest
from speech import BACKBONE

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.recognition.audio_options import FORMATS
from hra_cli.recognition.captions import captions
from hra_cli.recognition.formats import lines_of
from hra_cli.recognition.transcript import Transcript
from hra_cli.recognition.units import Units
from hra_cli.recognition.words import Word, timed_words
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.search_interface import Hypothesis


def transcript(words, file="calls/a b.wav", channel=None):
    said = [one.text for one in words]
    return Transcript(file, channel, Utterance("a", "", [], said, " ".join(said), ["▁X"], [0.04]), words)


def spoken(*words, begin=0.0, each=0.3, pause=0.1):
    return [
        Word(text, round(begin + n * (each + pause), 3), round(begin + n * (each + pause) + each, 3))
        for n, text in enumerate(words)
    ]


def test_words_start_with_their_first_token_and_end_a_little_after_their_last():
    tokenizer = load_tokenizer(BACKBONE)
    grasshopper, light = tokenizer.encode("GRASSHOPPER"), tokenizer.encode("LIGHT")
    tokens = [*grasshopper, *light, *light]
    frames = [*(10 + 3 * n for n in range(len(grasshopper))), 45, 98][: len(tokens)]
    found = timed_words(Hypothesis(tokens, frames), Units(tokenizer), tokenizer, 0.04, duration=4.0)
    last = frames[len(grasshopper) - 1] * 0.04
    assert [(one.text, one.start, one.end) for one in found] == [
        ("GRASSHOPPER", 0.4, pytest.approx(min(last + 0.2, 1.8))),
        ("LIGHT", 1.8, pytest.approx(2.0)),
        ("LIGHT", 3.92, 4.0),  # ends with the recording
    ]


def test_a_word_that_a_stream_says_after_the_end_is_inside_the_recording():
    tokenizer = load_tokenizer(BACKBONE)
    light = tokenizer.encode("LIGHT")
    frames = list(range(24, 24 + len(light)))
    (found,) = timed_words(Hypothesis(light, frames), Units(tokenizer), tokenizer, 0.04, duration=0.9)
    assert (found.start, found.end) == (0.9, 0.9)


def test_ctm_has_a_line_for_every_word():
    assert lines_of(transcript(spoken("ONE", "TWO"), channel=2), "ctm") == [
        "a_b 2 0.00 0.30 ONE",
        "a_b 2 0.40 0.30 TWO",
    ]
    assert lines_of(transcript(spoken("ONE")), "ctm") == ["a_b 1 0.00 0.30 ONE"]


def test_srt_and_vtt_have_captions_with_times():
    words = spoken("GOOD", "<unk>", begin=3599.5)
    assert lines_of(transcript(words), "srt") == ["1", "00:59:59,500 --> 01:00:00,500", "GOOD <unk>", ""]
    assert lines_of(transcript(words), "vtt") == [
        "WEBVTT", "", "00:59:59.500 --> 01:00:00.500", "GOOD &lt;unk&gt;", "",
    ]  # fmt: skip


def test_captions_are_short_and_end_with_a_pause():
    words = [*spoken(*["WEDNESDAY"] * 30), *spoken("AND", "GO", begin=20.0), *spoken("NOW", begin=20.9)]
    found = captions(words)
    assert " ".join(line for one in found for line in one.lines).split() == [one.text for one in words]
    assert all(len(one.lines) <= 2 and max(map(len, one.lines)) <= 42 for one in found)
    assert all(0 < one.end - one.start <= 6 for one in found)
    assert all(one.end <= two.start for one, two in zip(found, found[1:]))
    assert [one.lines for one in found][-1] == ["AND GO NOW"]
    assert found[-1].start == 20.0
    lengths = {abs(len(one.lines[0]) - len(one.lines[1])) for one in found if len(one.lines) == 2}
    assert max(lengths) <= 10, "two lines are about as long"


def test_a_word_longer_than_a_line_is_shown():
    (one,) = captions(spoken("X" * 60))
    assert "".join(one.lines) == "X" * 60


def test_a_script_without_spaces_gets_none():
    words = [Word(text, n / 5, n / 5 + 0.2, spaced=False) for n, text in enumerate("你好世界")]
    assert [one.lines for one in captions(words)] == [["你好世界"]]


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_heard_is_a_whole_file(form):
    assert lines_of(transcript([]), form) in ([], [""], ["WEBVTT", ""], lines_of(transcript([]), "json"))


def test_json_is_one_line_whatever_the_file_is_called():
    (line,) = lines_of(transcript(spoken("ONE"), file="a\udcff\u2028\x1b[31m\x7f.wav"), "json")
    assert line.isprintable()
    assert json.loads(line) == {
        "file": "a\udcff\u2028\x1b[31m\x7f.wav",
        "text": "ONE",
        "words": [{"word": "ONE", "start": 0.0, "end": 0.3}],
        "tokens": ["▁X"],
        "times": [0.04],
    }
    assert re.search('"channel": 2', lines_of(transcript([], channel=2), "json")[0])
