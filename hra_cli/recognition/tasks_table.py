"""A table of audio files and the tasks whose heads they are decoded with."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Literal

from hra_cli.errors import HraError
from hra_cli.io.documents import read_text

_REMEDY = "give a CSV or TSV file with the columns 'file' and 'task'"


def read_tasks(table: Path) -> dict[Path, str]:
    """The task of every file, in the table's order; paths in it are relative to its folder.

    The first line names the columns, with commas or tabs between them. Raises HraError for what is no such table, for a
    file that is not there, for one with two tasks, however its path is written, and for cells without a column.
    """
    text = read_text(table, _REMEDY).lstrip("\ufeff")
    tabs = "\t" in text.split("\n", 1)[0]
    quoting: Literal[0, 3] = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",", quoting=quoting, strict=True)
    tasks: dict[Path, str] = {}
    by_place: dict[str, str] = {}
    try:
        columns = [name.strip() for name in next(rows, [])]
        if not {"file", "task"} <= set(columns):
            raise HraError(f"{table} has no columns 'file' and 'task' in its first line; {_REMEDY}")
        twice = next((name for name in ("file", "task") if columns.count(name) > 1), None)
        if twice is not None:
            raise HraError(f"{table} has two columns '{twice}' in its first line; leave one")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            given = dict(zip(columns, (cell.strip() for cell in row)))
            where = f"{table}, line {rows.line_num}"
            if len(row) > len(columns):
                raise HraError(f"{where} has {len(row)} cells, and there are {len(columns)} columns; {_REMEDY}")
            file, task = given.get("file", ""), given.get("task", "")
            if not file or not task:
                raise HraError(f"{where}: the {'task' if file else 'file'} is missing; {_REMEDY}")
            path = table.parent / file
            if not os.path.exists(path):
                raise HraError(f"{where}: there is no file {path}; paths are relative to the table's folder")
            known = by_place.setdefault(os.path.realpath(path), task)
            if known != task:
                raise HraError(f"{where}: {file} has the task '{task}' here and '{known}' above; leave one")
            tasks[path] = task
    except csv.Error as error:
        raise HraError(f"{table}, line {rows.line_num}: {error}; {_REMEDY}") from error
    if not tasks:
        raise HraError(f"{table} names no file; {_REMEDY}")
    return tasks


def tasks_of(files: list[Path], table: Path) -> dict[Path, str]:
    """The task of each of `files`, by the table; of all that it names where none are given.

    Raises HraError as `read_tasks` does, and for a file that the table does not name.
    """
    tasks = read_tasks(table)
    if not files:
        return tasks
    by_place = {os.path.realpath(path): task for path, task in tasks.items()}
    for file in files:
        if os.path.realpath(file) not in by_place:
            raise HraError(f"{table} has no row for {file}; add its task, or leave the file out")
    return {file: by_place[os.path.realpath(file)] for file in files}
