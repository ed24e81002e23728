"""When each word was said."""

from __future__ import annotations

from dataclasses import dataclass

from hra_cli.data.tokenizer import Tokenizer
from hra_cli.recognition.units import Units
from hra_cli.transducer.search_interface import Hypothesis

# Seconds that a word goes on after its last token was emitted, unless the next word begins before.
_AFTER_LAST_TOKEN = 0.2


@dataclass(frozen=True)
class Word:
    """A word, or a character of a script without spaces. start, end: seconds from the recording's start. spaced: a
    space is before it."""

    text: str
    start: float
    end: float
    spaced: bool = True


def timed_words(
    found: Hypothesis, units: Units, tokenizer: Tokenizer, seconds_per_frame: float, duration: float
) -> list[Word]:
    """The words of a recording of `duration` seconds.

    A word starts when its first token was emitted. It ends 0.2 s after its last one was, or where the next word starts,
    or with the recording, whichever is first: a transducer does not say how long a token lasts. What a stream says in
    the silence after the recording's end, it says at its end.
    """
    spoken = units.of(found)
    starts = [round(min(unit.begin * seconds_per_frame, duration), 3) for unit in spoken]
    words = []
    for unit, start, following in zip(spoken, starts, [*starts[1:], duration]):
        end = round(min(unit.last * seconds_per_frame + _AFTER_LAST_TOKEN, following), 3)
        text = "".join(tokenizer.decode(found.tokens[unit.first : unit.end]).split())  # <unk> has spaces around it
        if text:  # a mark of a space alone is no word
            words.append(Word(text, start, end, unit.spaced))
    return words
