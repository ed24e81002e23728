"""Text to a recogniser's token ids and back: what every kind of tokenizer offers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

# sentencepiece marks the start of a word with it; it stands for a space and is no character of the text.
WORD_START = "▁"
UNKNOWN = "\u2047"  # "⁇": what <unk> is read as, as in sentencepiece


class Tokenizer(ABC):
    """The units that a recogniser was trained to write. Id 0 is the transducer's blank, which no text has.

    file: what it was read from. kind: of units, in a few words. fingerprint: SHA-256 (hex) of what decides the units.
    has_characters: whether it writes a text character by character, so that one knows which it lacks.
    """

    file: Path
    kind: str
    fingerprint: str
    has_characters = True

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many token ids there are."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The token ids of a text; <unk> for what the tokenizer lacks."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, as it is shown."""

    @abstractmethod
    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The name of each token id, as tokens.txt has it."""

    @abstractmethod
    def unknown_characters(self, text: str) -> str:
        """What the tokenizer lacks of `text`, sorted; '' if nothing."""

    def words(self, text: str) -> list[str]:
        """What errors in a text are counted on, as icefall counts them: words, or characters."""
        return text.split()

    def writes(self, char: str) -> bool:
        """Whether a character that is written is read as the same."""
        return self.decode(self.encode(char)).strip() == char


def encodable(text: str) -> str:
    """The text with a character that no tokenizer knows, U+E000, for halves of characters, which JSON may have."""
    return re.sub("[\ud800-\udfff]", "\ue000", text)
