"""Text to the recogniser's token ids and back."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import sentencepiece as spm

from hra_cli.errors import HraError

# sentencepiece marks the start of a word with it; it stands for a space and is no character of the text.
WORD_START = "▁"


class Tokenizer:
    """The sentencepiece model that a backbone was trained with.

    Raises `HraError` where `bpe_model` is missing or no sentencepiece model.
    """

    def __init__(self, bpe_model: Path) -> None:
        try:
            model = Path(bpe_model).read_bytes()
        except OSError as error:
            raise HraError(f"cannot read the tokenizer {bpe_model}: {error.strerror}") from error
        self._processor = spm.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.pieces(list(range(self.vocab_size)))  # all of them are text
        except (RuntimeError, UnicodeDecodeError) as error:
            raise HraError(f"{bpe_model} is not a sentencepiece model; give the bpe.model of the recogniser") from error
        self.fingerprint = hashlib.sha256(model).hexdigest()
        """SHA-256 of the model file, in hexadecimal."""

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""
        return self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """The token ids of a text; <unk> for what the model does not know."""
        ids: list[int] = self._processor.encode(_encodable(text))
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of token ids."""
        text: str = self._processor.decode(ids)
        return text

    def pieces(self, ids: list[int]) -> list[str]:
        """The sentencepiece piece of each token id; one that starts a word begins with "▁"."""
        return [self._processor.id_to_piece(id_) for id_ in ids]

    def unknown_characters(self, text: str) -> str:
        """The characters of `text` that the model can only map to <unk>, sorted; '' if there are none."""
        unknown = self._processor.unk_id()
        # As text, the pieces that stand for <unk> are the characters that the model does not know.
        text = _encodable(text)
        pieces = zip(self._processor.encode(text), self._processor.encode(text, out_type=str))
        return "".join(sorted(set("".join(piece for id_, piece in pieces if id_ == unknown)) - {WORD_START}))


def _encodable(text: str) -> str:
    """The text with a character that no model knows, U+E000, for halves of characters, which JSON may have."""
    return re.sub("[\ud800-\udfff]", "\ue000", text)
