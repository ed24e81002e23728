"""Where words begin in a row of tokens: what a seam may not cut, and what has a time of its own."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from hra_cli.data.tokenizer import WORD_START, Tokenizer
from hra_cli.transducer.search_interface import Hypothesis


@dataclass(frozen=True)
class Unit:
    """Tokens `first` up to, not including, `end` of a hypothesis: a word, or a character of a script without spaces.

    begin, last: the frames of its first and its last token. text: its pieces. spaced: a space is before it.
    """

    first: int
    end: int
    begin: int
    last: int
    text: str
    spaced: bool


class Units:
    """Tells the units of what one tokenizer's recogniser has found. Where no piece of the tokenizer begins a word,
    every token is a unit."""

    def __init__(self, tokenizer: Tokenizer):
        self._pieces = tokenizer.pieces(list(range(tokenizer.vocab_size)))
        marked = any(piece.startswith(WORD_START) for piece in self._pieces)
        self._begins = [not marked or piece.startswith(WORD_START) or _is_wide(piece) for piece in self._pieces]

    def of(self, found: Hypothesis) -> list[Unit]:
        """All tokens, as units."""
        firsts = [n for n, id_ in enumerate(found.tokens) if n == 0 or self._begins[id_]]
        units = []
        for first, end in zip(firsts, [*firsts[1:], len(found.tokens)]):
            text = "".join(self._pieces[id_] for id_ in found.tokens[first:end])
            spaced = text.startswith(WORD_START)
            units.append(Unit(first, end, found.frames[first], found.frames[end - 1], text, spaced))
        return units

    def begins(self, token: int) -> bool:
        """Whether a unit begins with this token."""
        return self._begins[token]


def _is_wide(piece: str) -> bool:
    """Whether it is a character of a script that writes no spaces, such as Chinese."""
    return piece != "" and unicodedata.east_asian_width(piece[0]) in "WF"
