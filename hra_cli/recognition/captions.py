"""Words to captions: short texts with a beginning and an end, as they are shown below a film."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from hra_cli.recognition.words import Word

_WIDTH, _LINES = 42, 2  # characters of a line, lines of a caption
_LONGEST, _SHORTEST = 6.0, 1.0  # seconds
_PAUSE = 0.7  # seconds without words that end a caption


@dataclass(frozen=True)
class Caption:
    """What is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    lines: list[str]


def captions(words: list[Word]) -> list[Caption]:
    """Captions of up to two lines of 42 characters and six seconds, ended by pauses; each is shown for a second or
    longer, unless the next one begins before. A word that is longer is shown all the same."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and _fits(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    begins = [group[0].start for group in groups]
    return [
        Caption(begin, min(max(group[-1].end, begin + _SHORTEST), following), _lines(group))
        for group, begin, following in zip(groups, begins, [*begins[1:], float("inf")])
    ]


def _fits(group: list[Word], word: Word) -> bool:
    return (
        word.start - group[-1].end < _PAUSE
        and word.end - group[0].start <= _LONGEST
        and len(textwrap.wrap(_text([*group, word]), _WIDTH)) <= _LINES
    )


def _text(words: list[Word]) -> str:
    return "".join(" " * word.spaced + word.text for word in words).strip()


def _lines(words: list[Word]) -> list[str]:
    """Lines of about the same length."""
    text = _text(words)
    fewest = len(textwrap.wrap(text, _WIDTH))
    widths = range(max(1, -(-len(text) // fewest)), _WIDTH + 1)
    return next((lines for width in widths if len(lines := textwrap.wrap(text, width)) == fewest), [text])
