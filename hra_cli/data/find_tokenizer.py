"""The tokenizer that belongs to a recogniser, by what lies in its folder."""

from __future__ import annotations

import os
from pathlib import Path

from hra_cli.data.byte_pieces import ByteLevelTokenizer
from hra_cli.data.sentence_pieces import SentencePieceTokenizer
from hra_cli.data.token_table import TABLE_NAME, read_token_table
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.data.unit_tokenizer import UnitTokenizer
from hra_cli.errors import HraError

_BPE, _BYTE_LEVEL = "bpe.model", "bbpe.model"
# Where icefall's recipes leave them. A model is looked for everywhere before a table alone, which is beside every model
# and beside lexicons too.
_PLACES = (
    (_BPE, _BYTE_LEVEL),
    tuple(
        f"{data}{folder}" for data in ("data/", "") for folder in (f"lang_bpe_*/{_BPE}", f"lang_bbpe_*/{_BYTE_LEVEL}")
    ),
    (TABLE_NAME,),
    tuple(f"{data}lang_char*/{TABLE_NAME}" for data in ("data/", "")),
    tuple(f"{data}lang_*/{TABLE_NAME}" for data in ("data/", "")),
)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of the recogniser at `path`, see `find_tokenizer`.

    Raises HraError where there is none, it cannot be read, or a tokens.txt beside it says something else.
    """
    file = find_tokenizer(path)
    if file.name.endswith(".txt"):
        return UnitTokenizer(file)
    tokenizer = (ByteLevelTokenizer if file.name == _BYTE_LEVEL else SentencePieceTokenizer)(file)
    table = file.with_name(TABLE_NAME)
    if table.is_file():
        _check_same(tokenizer, table)
    return tokenizer


def find_tokenizer(path: Path) -> Path:
    """bpe.model, bbpe.model or, without these, tokens.txt of the recogniser at `path` (a folder, a checkpoint file or
    one of these files): beside the checkpoint, or in data/lang_bpe_*/, data/lang_bbpe_*/, data/lang_char*/ or another
    data/lang_*/. Raises HraError where there is no such recogniser, no tokenizer, or more than one candidate."""
    if not os.path.exists(path):  # also where the name is too long
        raise HraError(f"no such recogniser: {path}; give its folder, its checkpoint, or hf://OWNER/NAME")
    if path.is_file() and (path.suffix == ".model" or path.name == TABLE_NAME):
        return path
    folder = path if path.is_dir() else path.parent
    roots = [folder, folder.parent] if folder.name == "exp" or path.is_file() else [folder]
    for patterns in _PLACES:
        for root in roots:
            found = sorted(file for pattern in patterns for file in root.glob(pattern) if file.is_file())
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(str(file) for file in found)
                raise HraError(f"several tokenizers for {path}: {names}; copy the right one into {root}")
    raise HraError(
        f"no {_BPE}, {_BYTE_LEVEL} or {TABLE_NAME} for {path}: expected it in {folder} or in {folder}/data/lang_*/; "
        "copy it there"
    )


def _check_same(tokenizer: Tokenizer, table: Path) -> None:
    pieces, tokens = tokenizer.pieces(range(tokenizer.vocab_size)), read_token_table(table)
    for id_, (piece, token) in enumerate(zip(pieces, tokens)):
        if piece != token:
            raise HraError(
                f"{table} contradicts {tokenizer.file}: token {id_} is {token!r} in one and {piece!r} in the other; "
                "delete the one that is not this recogniser's"
            )
    if len(pieces) != len(tokens):
        raise HraError(
            f"{table} contradicts {tokenizer.file}: {len(tokens)} tokens in one and {len(pieces)} in the other; "
            "delete the one that is not this recogniser's"
        )
