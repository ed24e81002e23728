"""Text in the pieces of a sentencepiece model over bytes: icefall's byte-level BPE (bbpe.model)."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

from hra_cli.data.sentence_pieces import SentencePieceTokenizer
from hra_cli.data.tokenizer import encodable

# What icefall sets apart before a text becomes bytes: characters of Chinese, Japanese and Korean.
_CJK = "[\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff]"
_CJK_CHARACTER = re.compile(f"({_CJK})")
_SPACE_BETWEEN_CJK = re.compile(f"(?<={_CJK}) (?={_CJK})")


def _characters_of_bytes() -> list[str]:
    """The character that stands for each byte: printable ASCII for itself, and for the others, in order, what comes
    after Latin-1 and is no compatibility character, since sentencepiece would write another for that."""
    others = (char for char in map(chr, itertools.count(256)) if unicodedata.normalize("NFKC", char) == char)
    return [chr(byte) if 32 <= byte < 127 else next(others) for byte in range(256)]


CHARACTER_OF_BYTE = _characters_of_bytes()
_BYTE_OF_CHARACTER = {char: bytes([byte]) for byte, char in enumerate(CHARACTER_OF_BYTE)}


class ByteLevelTokenizer(SentencePieceTokenizer):
    """A sentencepiece model whose characters are the bytes of UTF-8; those of Chinese and the like are words each."""

    kind = "byte-level sentencepiece"

    def encode(self, text: str) -> list[int]:
        return super().encode(_as_bytes(_spaced(encodable(text))))

    def decode(self, ids: Sequence[int]) -> str:
        # What is no byte is the sign for <unk>. Bytes that are half a character are left out, as icefall does.
        found = b"".join(_BYTE_OF_CHARACTER.get(char, char.encode()) for char in super().decode(ids))
        return _SPACE_BETWEEN_CJK.sub("", found.decode("utf-8", "ignore"))

    def unknown_characters(self, text: str) -> str:
        unknown = self._processor.unk_id()
        found = (char for char in set(encodable(text)) if not char.isspace() and unknown in self.encode(char))
        return "".join(sorted(found))

    def words(self, text: str) -> list[str]:
        return _spaced(text).split()


def _spaced(text: str) -> str:
    return " ".join(_CJK_CHARACTER.sub(r" \1 ", text).split())


def _as_bytes(text: str) -> str:
    return "".join(CHARACTER_OF_BYTE[byte] for byte in text.encode("utf-8"))
