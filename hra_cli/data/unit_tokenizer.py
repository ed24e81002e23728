"""Text in the units of a tokens.txt: characters, as in icefall's lang_char, or others with spaces between."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hra_cli.data.token_table import read_token_table, token_table
from hra_cli.data.tokenizer import UNKNOWN, WORD_START, Tokenizer, encodable
from hra_cli.errors import HraError

# Names of a token that stands for a space. It is called as in a sentencepiece model, which sherpa-onnx reads.
SPACES = ("<space>", WORD_START, " ")
_UNKNOWNS = ("<unk>", "<UNK>")
_SPECIAL = re.compile(r"<[^<>]+>")


class UnitTokenizer(Tokenizer):
    """The tokens of a tokens.txt. Its fingerprint is that of its tokens.

    Where most are single characters, a text is written character by character. Spaces have a token, and errors are
    counted on words; or they have none, as in icefall's Chinese recognisers, and errors are counted on characters.
    Otherwise (phones, syllables) units have spaces between them in a text. Raises HraError as `read_token_table` does,
    and for the pieces of a sentencepiece model, which only the model can write.
    """

    def __init__(self, file: Path) -> None:
        self.file = Path(file)
        self._tokens = [WORD_START if token in SPACES else token for token in read_token_table(self.file)]
        self._ids = {
            token: id_
            for id_, token in enumerate(self._tokens)
            if id_ > 0 and token != WORD_START and not _SPECIAL.fullmatch(token)
        }
        piece = next((token for token in self._ids if token.startswith(WORD_START)), None)
        if piece is not None:
            raise HraError(f"{file} has pieces of a sentencepiece model ({piece}); put its bpe.model beside it")
        if not self._ids:
            raise HraError(f"{file} has nothing to write with; give the tokens.txt of the recogniser")
        self._space = next((id_ for id_, token in enumerate(self._tokens) if token == WORD_START), None)
        self._unknown = next((id_ for id_, token in enumerate(self._tokens) if token in _UNKNOWNS), None)
        self.has_characters = 2 * sum(len(token) == 1 for token in self._ids) > len(self._ids)
        self.kind = "characters" if self.has_characters else "units with spaces between"
        self.fingerprint = hashlib.sha256(token_table(self._tokens).encode()).hexdigest()

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for number, word in enumerate(text.split()):
            if number and self.has_characters and self._space is not None:
                ids.append(self._space)
            for unit in word if self.has_characters else [word]:
                id_ = self._ids.get(unit, self._unknown)
                if id_ is not None:
                    ids.append(id_)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        between = "" if self.has_characters else " "
        return " ".join(between.join(map(self._text_of, ids)).split())

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._tokens[id_] for id_ in ids]

    def unknown_characters(self, text: str) -> str:
        if self.has_characters:
            return "".join(sorted({char for char in encodable(text) if not char.isspace()} - self._ids.keys()))
        return " ".join(sorted(set(encodable(text).split()) - self._ids.keys()))

    def words(self, text: str) -> list[str]:
        if self.has_characters and self._space is None:
            return [char for char in text if not char.isspace()]
        return text.split()

    def _text_of(self, id_: int) -> str:
        if id_ == self._space:
            return " "
        if id_ == self._unknown:
            return UNKNOWN
        token = self._tokens[id_]
        return token if token in self._ids else ""
