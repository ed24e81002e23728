"""Tables row by row: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.io.text_lines import text_lines

_REMEDY = "save the table as CSV in UTF-8"
_BATCH = 1000  # rows of a Parquet file
# What a program that quotes writes for a cell with a quotation mark in it; see `_tab_separated`.
_QUOTED = re.compile('"(?:[^"]|"")*""(?:[^"]|"")*"')

# A number, for messages, and what is in each column; or why a row cannot be used.
Row = tuple[int, Union[dict[str, Any], str]]


@dataclass(frozen=True)
class Table:
    """columns: their names. read: goes through the rows once more."""

    path: Path
    columns: list[str]
    read: Callable[[], Iterator[Row]]

    def rows(self, skipped: list[Skipped]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number of every row, by which an editor finds it, and its cells. skipped: gets rows that are none."""
        for number, row in self.read():
            if isinstance(row, str):
                skipped.append(Skipped(f"{self.path.name}, line {number}", "row that cannot be read", row))
            else:
                yield number, row


def open_table(path: Path) -> Table:
    """A table with one line for every row, by its name: .csv, .tsv, .jsonl or .parquet.

    CSV has commas, or semicolons where its first line has more of them, and quotes as spreadsheets do. Raises HraError
    where the file is missing, of another kind, damaged as a whole, or has a column twice; `rows` does too.
    """
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise HraError(f"{path} is no table that can be read; give a .csv, .tsv, .jsonl or .parquet file")
    if not os.path.isfile(path):  # also where the name is too long
        raise HraError(f"no such table: {path}")
    return _READERS[kind](path)


def _csv(path: Path) -> Table:
    return _with_header(path, lambda: _comma_separated(path))


def _tsv(path: Path) -> Table:
    return _with_header(path, lambda: _tab_separated(path))


def _with_header(path: Path, cells: Callable[[], Iterator[tuple[int, list[str]]]]) -> Table:
    def rows() -> Iterator[Row]:
        lines = cells()
        next(lines)
        for number, row in lines:
            if len(row) != len(columns):
                yield number, f"it has {len(row)} cells and the first line {len(columns)}"
            else:
                yield number, {name: cell for name, cell in zip(columns, row) if cell and name}

    _, columns = next(cells(), (0, []))
    if not columns:
        raise HraError(f"{path} is empty; give a table whose first line names the columns")
    return Table(path, _unique(columns, path), rows)


def _comma_separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with their lines."""
    first = next((line for _, line in text_lines(path, _REMEDY)), "")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    return _quoted(path, delimiter)


def _tab_separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    """As above. Most programs, Common Voice's among them, do not quote in such files: a quotation mark is one. Those
    that do are known by their first line, or by a cell with doubled marks within marks."""
    first = next((line for _, line in text_lines(path, _REMEDY)), "")
    if first.startswith('"'):
        yield from _quoted(path, "\t")
        return
    for number, line in text_lines(path, _REMEDY):
        cells = [_unquoted(cell.strip()) for cell in line.rstrip("\r\n").split("\t")]
        if any(cells):
            yield number, cells


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in text_lines(path, _REMEDY)), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise HraError(f"{path}, line {reader.line_num}: {error}; are its quotation marks in pairs?") from error


def _jsonl(path: Path) -> Table:
    names: dict[str, None] = {}
    for _, row in _json_objects(path):
        if not isinstance(row, str):
            names.update(dict.fromkeys(row))
    if not names:
        raise HraError(f"{path} holds no rows; give a table with a JSON object a line")
    return Table(path, list(names), lambda: _json_objects(path))


def _json_objects(path: Path) -> Iterator[Row]:
    # Not above: it takes long.
    from pydantic_core import from_json

    for number, line in text_lines(path, "give a table with a JSON object a line"):
        if not line.strip():
            continue
        try:
            row = from_json(line)
        except ValueError as error:
            yield number, str(error).split(" at line ")[0]
            continue
        yield number, _scalars(row) if isinstance(row, dict) else "it is no JSON object"


def _parquet(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HraError(f"{path} needs pyarrow ({reason}): pip install -e '.[parquet]', or save it as CSV") from error

    def opened() -> Any:
        try:
            return parquet.ParquetFile(path)
        except Exception as error:  # pyarrow's are of many kinds
            raise _damaged(path, error) from error

    def rows() -> Iterator[Row]:
        file = opened()
        number = 0
        try:
            for batch in file.iter_batches(_BATCH, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _scalars(row)
        except HraError:
            raise
        except Exception as error:
            raise _damaged(path, error) from error

    types = pyarrow.types
    # Sound, lists and so on are not read at all: they may be much.
    columns = [
        one.name
        for one in opened().schema_arrow
        if not types.is_nested(one.type) and not types.is_binary(one.type) and not types.is_large_binary(one.type)
    ]
    return Table(path, _unique(columns, path), rows)


def _damaged(path: Path, error: Exception) -> HraError:
    return HraError(f"{path} is damaged, or no Parquet file: {' '.join(str(error).split())[:200]}")


def _scalars(row: dict[str, Any]) -> dict[str, Any]:
    """What a name, a number or a text can be made of."""
    found = {}
    for name, value in row.items():
        if isinstance(value, str):
            value = value.strip()
        elif value is not None and not isinstance(value, (bool, int, float, list, dict, bytes)):
            value = str(value)  # a date, a decimal number
        if value in (None, "") or isinstance(value, (list, dict, bytes)):
            continue
        if not isinstance(value, float) or math.isfinite(value):  # "not a number" is how programs write an empty cell
            found[name] = value
    return found


def _unique(columns: list[str], path: Path) -> list[str]:
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise HraError(f"{path} has the column '{twice[0][:100]}' twice; rename one")
    return columns


_READERS = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".parquet": _parquet}
