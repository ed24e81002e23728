"""Text in the pieces of a sentencepiece model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import sentencepiece as spm

from hra_cli.data.tokenizer import WORD_START, Tokenizer, encodable
from hra_cli.errors import HraError


class SentencePieceTokenizer(Tokenizer):
    """The sentencepiece model that a recogniser was trained with; its fingerprint is the file's.

    Raises HraError where `file` is missing or no sentencepiece model.
    """

    kind = "sentencepiece"

    def __init__(self, file: Path) -> None:
        self.file = Path(file)
        try:
            model = self.file.read_bytes()
        except OSError as error:
            raise HraError(f"cannot read the tokenizer {file}: {error.strerror}") from error
        self._processor = spm.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.pieces(list(range(self.vocab_size)))  # all of them are text
        except (RuntimeError, UnicodeDecodeError) as error:
            name = self.file.name
            raise HraError(f"{file} is not a sentencepiece model; give the {name} of the recogniser") from error
        self.fingerprint = hashlib.sha256(model).hexdigest()

    @property
    def vocab_size(self) -> int:
        return self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(encodable(text))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._processor.decode(list(ids))
        return text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._processor.id_to_piece(id_) for id_ in ids]

    def unknown_characters(self, text: str) -> str:
        unknown = self._processor.unk_id()
        # As text, the pieces that stand for <unk> are the characters that the model does not know.
        text = encodable(text)
        pieces = zip(self._processor.encode(text), self._processor.encode(text, out_type=str))
        return "".join(sorted(set("".join(piece for id_, piece in pieces if id_ == unknown)) - {WORD_START}))
