"""tokens.txt: a line for every token, its name and its id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.documents import read_text

TABLE_NAME = "tokens.txt"
BLANKS = ("<blk>", "<blank>", "<eps>")
_REMEDY = "give the tokens.txt of the recogniser"
_LARGEST = 16 * 2**20  # bytes; a hundred thousand tokens take two
_LINE = re.compile(r"([^ \t]*)[ \t]+([0-9]{1,9})[ \t\r]*")
_DISAMBIGUATION = re.compile(r"#[0-9]+")  # of lexicons; these come after the tokens, and no recogniser writes them


def token_table(tokens: Iterable[str]) -> str:
    """The content of a tokens.txt. tokens: by id."""
    return "".join(f"{token} {id_}\n" for id_, token in enumerate(tokens))


def read_token_table(file: Path) -> list[str]:
    """The tokens of a tokens.txt by id. A name that is missing is a space.

    Raises HraError that names the line where a token or an id is there twice or a line is none; for ids that are not
    0, 1, 2, …; and where token 0 is not the blank.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise HraError(f"cannot read the tokenizer {file}: {error.strerror}") from error
    if size > _LARGEST:
        raise HraError(f"{file} is no table of tokens: it has {size:,} bytes; {_REMEDY}")
    tokens: dict[int, str] = {}
    lines: dict[str, int] = {}
    # By line feeds alone: other separators of lines may be tokens.
    for number, line in enumerate(read_text(file, _REMEDY).split("\n"), start=1):
        if not line.strip(" \t\r"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise HraError(f"{file}, line {number}, is no token and its id: {line[:40]!r}; {_REMEDY}")
        token, id_ = match[1] or " ", int(match[2])
        if token in lines:
            raise HraError(f"{file}, line {number}: {token!r} is already on line {lines[token]}; {_REMEDY}")
        if id_ in tokens:
            raise HraError(f"{file}, line {number}: {id_} is already the id of {tokens[id_]!r}; {_REMEDY}")
        tokens[id_], lines[token] = token, number
    last = max(tokens, default=-1)
    while last in tokens and _DISAMBIGUATION.fullmatch(tokens[last]):
        del tokens[last]
        last -= 1
    if not tokens:
        raise HraError(f"{file} has no tokens; {_REMEDY}")
    gap = next((id_ for id_ in range(len(tokens)) if id_ not in tokens), None)
    if gap is not None:
        raise HraError(f"{file} has no token {gap}, but a token {max(tokens)}; {_REMEDY}")
    if tokens[0] not in BLANKS:
        raise HraError(f"{file}: token 0 is {tokens[0]!r}, and should be the blank, {BLANKS[0]}; {_REMEDY}")
    return [tokens[id_] for id_ in range(len(tokens))]
