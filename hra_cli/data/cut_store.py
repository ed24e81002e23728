"""Cuts while a data folder is made of them: on disk, in a database, so that there may be more than fit into memory."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from lhotse.cut import Cut
from lhotse.cut.set import deserialize_cut

from hra_cli.data.cut_json import cut_as_json
from hra_cli.data.splits import SPLITS
from hra_cli.errors import HraError

_MANY = 1000  # rows handed to the database at a time
# Names are in bytes, since not every name is text. cut: what `Cut.to_dict` gives, as JSON; of its task and split the
# columns say which it is. before: the cut as it was before it was replaced. chunk, place: in which chunk it was read,
# and where in it.
_TABLES = """
CREATE TABLE cuts (row INTEGER PRIMARY KEY, id BLOB UNIQUE, task BLOB, split INTEGER, speaker BLOB, text BLOB, cut TEXT,
                   before TEXT, chunk INTEGER, place INTEGER);
CREATE INDEX by_chunk ON cuts (chunk);
CREATE TABLE seen (kind INTEGER, id BLOB, PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""


class CutStore:
    """Cuts with one supervision each and a task in their `custom`, by rows; what is wanted of them is read from disk.

    file: where they are while the store is used, in place of what is there; None: in memory. A context manager, which
    removes the file. Raises HraError for a disk that is full.
    """

    def __init__(self, file: Optional[Path] = None) -> None:
        self._file = file
        if file is not None:
            self._remove()
        with self._writing():
            self._database = sqlite3.connect(":memory:" if file is None else file, isolation_level=None)
            # Nothing here outlives the process, so nothing has to be safe on disk.
            self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;")
            self._database.executescript(_TABLES)

    @classmethod
    def of(cls, cuts: Iterable[Cut]) -> CutStore:
        """A store in memory. Raises HraError as `add` does."""
        store = cls()
        store.add(cuts)
        return store

    def __enter__(self) -> CutStore:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._database.close()
        if self._file is not None:
            self._remove()
        if isinstance(error, sqlite3.Error):
            raise HraError(f"cannot use {self._file}: {error}") from error

    def add(self, cuts: Iterable[Cut]) -> None:
        """Adds cuts. Raises HraError, after all of them, for ids that occur more than once."""
        twice: set[str] = set()
        with self._writing():
            self._database.execute("BEGIN")
            for cut in cuts:
                added = self._database.execute(
                    "INSERT OR IGNORE INTO cuts (id, task, split, speaker, text, cut) VALUES (?, ?, ?, ?, ?, ?)",
                    _row(cut),
                )
                if not added.rowcount:
                    twice.add(cut.id)
            self._database.execute("COMMIT")
            self._database.execute("CREATE INDEX IF NOT EXISTS by_place ON cuts (task, split, id)")
        if twice:
            raise HraError(f"{len(twice)} cut ids occur more than once, such as '{min(twice)}'; make the ids unique")

    def __len__(self) -> int:
        return int(self._one("SELECT COUNT(*) FROM cuts"))

    def __iter__(self) -> Iterator[Cut]:
        """By task, split and id."""
        for rows in in_parts(self.rows()):
            yield from self.cuts(rows)

    @property
    def last(self) -> int:
        """The last row that was added, 0 where none is."""
        return int(self._one("SELECT COALESCE(MAX(row), 0) FROM cuts"))

    def tasks(self) -> list[str]:
        """The tasks, sorted."""
        return [_text(task) for (task,) in self._database.execute("SELECT DISTINCT task FROM cuts ORDER BY task")]

    def texts(self) -> Iterator[str]:
        """What was said in each cut, in the order in which they were added."""
        for (text,) in self._database.execute("SELECT text FROM cuts ORDER BY row"):
            yield _text(text)

    def ids_and_texts(self) -> Iterator[list[tuple[int, str, str]]]:
        """Row, id and text of each cut, in that order, many at a time: meanwhile they may be changed."""
        after = 0
        query = "SELECT row, id, text FROM cuts WHERE row > ? ORDER BY row LIMIT ?"
        while found := self._database.execute(query, (after, _MANY)).fetchall():
            yield [(row, _text(id_), _text(text)) for row, id_, text in found]
            after = found[-1][0]

    def rows(self, after: int = 0, split: Optional[str] = None) -> array[int]:
        """The rows beyond `after`, those of a split or of all, by task, split and id."""
        splits = SPLITS if split is None else [split]
        numbers = ",".join(str(SPLITS.index(one)) for one in splits)
        found = self._database.execute(
            f"SELECT row FROM cuts WHERE row > ? AND COALESCE(split, 0) IN ({numbers}) ORDER BY task, split, id",
            [after],
        )
        return array("q", (row for (row,) in found))

    def cuts(self, rows: Sequence[int], before: bool = False) -> list[Cut]:
        """The cuts in these rows, in this order; before: as they were before they were replaced."""
        what = "COALESCE(before, cut)" if before else "cut"
        return [deserialize_cut(content) for content in self._contents(rows, what)]

    def contents(self) -> Iterator[dict[str, Any]]:
        """What `Cut.to_dict` gives of every cut, by task, split and id."""
        for rows in in_parts(self.rows()):
            yield from self._contents(rows, "cut")

    def contents_of(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """As `contents`, of the cuts in these rows, in this order."""
        return list(self._contents(rows, "cut"))

    def replace(
        self, rows: Sequence[int], cuts: Iterable[Cut], keep_before: bool = False, chunk: Optional[int] = None
    ) -> None:
        """Puts cuts in the place of those in these rows, which have the same ids. keep_before: those are kept, too.
        chunk: in which they were read, in this order."""
        keep = "before = COALESCE(before, cut), " if keep_before else ""
        self._change(
            f"UPDATE cuts SET {keep}text = ?, cut = ?, chunk = ?, place = ? WHERE row = ?",
            ((*_row(cut)[4:], chunk, place, row) for place, (row, cut) in enumerate(zip(rows, cuts))),
        )

    def contents_of_chunk(self, chunk: int) -> list[dict[str, Any]]:
        """As `contents`, of the cuts that were read in a chunk, in the order in which they were."""
        found = self._database.execute("SELECT row FROM cuts WHERE chunk = ? ORDER BY place", [chunk])
        return self.contents_of([row for (row,) in found])

    def remove(self, rows: Iterable[int]) -> None:
        """Removes the cuts in these rows."""
        self._change("DELETE FROM cuts WHERE row = ?", ((row,) for row in rows))

    def first_time(self, kind: int, id_: str) -> bool:
        """Whether this kind of thing is asked about with this id for the first time."""
        with self._writing():
            return bool(
                self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (kind, _bytes(id_))).rowcount
            )

    # How splits are drawn, see `draw_splits`. but: cuts of that split stay as they are, and do not count.

    def ids_of(self, task: str, but: Optional[str]) -> Iterator[tuple[int, str]]:
        """Row and id of a task's cuts."""
        query = f"SELECT row, id FROM cuts WHERE task = ? {_except(but)}"
        for row, id_ in self._database.execute(query, [_bytes(task)]):
            yield row, _text(id_)

    def count_of(self, task: str, but: Optional[str]) -> int:
        """How many cuts a task has."""
        return int(self._one(f"SELECT COUNT(*) FROM cuts WHERE task = ? {_except(but)}", _bytes(task)))

    def speakers_of(self, task: str, but: Optional[str]) -> dict[str, int]:
        """How many cuts each speaker has in a task. Raises HraError for a cut whose speaker is not known."""
        query = f"SELECT id FROM cuts WHERE task = ? AND speaker IS NULL {_except(but)} ORDER BY row LIMIT 1"
        for (id_,) in self._database.execute(query, [_bytes(task)]):
            raise HraError(
                f"--split-speakers: the speaker of '{_text(id_)}' is not known; give every utterance a speaker"
            )
        query = f"SELECT speaker, COUNT(*) FROM cuts WHERE task = ? {_except(but)} GROUP BY speaker ORDER BY MIN(row)"
        return {_text(speaker): count for speaker, count in self._database.execute(query, [_bytes(task)])}

    def put_all_in(self, split: str, but: Optional[str]) -> None:
        """Says that all cuts are in a split."""
        self._change(f"UPDATE cuts SET split = ? WHERE 1 {_except(but)}", [(SPLITS.index(split),)])

    def put_in(self, split: str, rows: Iterable[int]) -> None:
        """Says that the cuts in these rows are in a split."""
        self._change("UPDATE cuts SET split = ? WHERE row = ?", ((SPLITS.index(split), row) for row in rows))

    def put_speaker_in(self, split: str, task: str, speaker: str, but: Optional[str]) -> None:
        """Says that a speaker's cuts of a task are in a split."""
        query = f"UPDATE cuts SET split = ? WHERE task = ? AND speaker = ? {_except(but)}"
        self._change(query, [(SPLITS.index(split), _bytes(task), _bytes(speaker))])

    def _contents(self, rows: Sequence[int], what: str) -> Iterator[dict[str, Any]]:
        for part in in_parts(rows):
            query = f"SELECT row, task, split, {what} FROM cuts WHERE row IN ({','.join(map(str, part))})"
            found = {row: rest for row, *rest in self._database.execute(query)}
            for task, split, text in map(found.__getitem__, part):
                content = json.loads(text)
                content["custom"] = {**content.get("custom", {}), "task": _text(task)}
                if split is not None:
                    content["custom"]["split"] = SPLITS[split]
                yield content

    def _change(self, query: str, values: Iterable[Sequence[Any]]) -> None:
        with self._writing():
            self._database.execute("BEGIN")
            self._database.executemany(query, values)
            self._database.execute("COMMIT")

    def _one(self, query: str, *values: Any) -> Any:
        return self._database.execute(query, values).fetchone()[0]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise HraError(f"cannot write {self._file}: {error}") from error

    def _remove(self) -> None:
        assert self._file is not None
        self._file.unlink(missing_ok=True)


def _row(cut: Cut) -> tuple[Any, ...]:
    supervision = cut.supervisions[0]
    split = cut.custom.get("split")
    speaker = supervision.speaker
    return (
        _bytes(cut.id),
        _bytes(cut.custom["task"]),
        None if split is None else SPLITS.index(split),
        _bytes(speaker) if speaker else None,
        _bytes(supervision.text or ""),
        cut_as_json(cut),
    )


def _except(split: Optional[str]) -> str:
    return "" if split is None else f"AND split IS NOT {SPLITS.index(split)}"


def in_parts(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """The rows, as many at a time as it is good to have in memory."""
    return (rows[start : start + _MANY] for start in range(0, len(rows), _MANY))


def _bytes(text: Any) -> bytes:
    return str(text).encode("utf-8", "surrogatepass")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")
