"""A table of utterances: columns name audio files and say their texts, and whatever else is known."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from lhotse import Recording
from lhotse.cut import Cut

from hra_cli.data.audio import open_recording
from hra_cli.data.corpora.named_splits import named_splits
from hra_cli.data.corpora.table_columns import AUDIO_FOLDERS, PRESETS, Columns
from hra_cli.data.corpora.table_rows import Table, open_table
from hra_cli.data.corpora.utterance import Utterance, cut_of
from hra_cli.data.corpus import Corpus
from hra_cli.data.cut_fields import OWN_FIELDS
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError, did_you_mean
from hra_cli.io.files import sha256_of_file


@dataclass(frozen=True)
class _Source:
    """A table, which split it is, what its columns are, and where its audio lies."""

    table: Table
    split: Optional[str]
    columns: Columns
    audio_dir: Path

    def rows(self, skipped: list[Skipped]) -> Iterator[tuple[int, dict[str, Any], Path]]:
        """Number, cells and audio file of every row that has one. skipped: gets the others."""
        for number, row in self.table.rows(skipped):
            audio = row.get(self.columns.audio or "")
            if isinstance(audio, str):
                yield number, row, self.audio_dir / audio
            else:
                skipped.append(Skipped(f"{self.table.path.name}, line {number}", "no audio", str(audio or "")[:100]))


def table_corpus(
    files: Sequence[Path],
    columns: Columns = Columns(),  # noqa: B008 - frozen
    audio_dir: Optional[Path] = None,
    preset: str = "none",
) -> Corpus:
    """The utterances of tables, given as in `named_splits`; without names, splits are drawn. See `open_table`.

    columns:   where they are silent, the preset says. Columns without a meaning of their own become fields.
    audio_dir: what file names begin from; without it the table's folder, or the preset's below it.

    An utterance without an id is called as its audio file, without folder and suffix; where several would be called so,
    `NAME-LINE`, or with named splits `NAME-SPLIT-LINE`. Raises HraError where a table cannot be read or lacks a column;
    when the cuts are made, where none of the audio is there.
    """
    if preset not in PRESETS:
        raise HraError(f"no such --preset: '{preset}'{did_you_mean(preset, PRESETS)}")
    if audio_dir is not None and not os.path.isdir(audio_dir):
        raise HraError(f"no such folder: {audio_dir}; give the one with the audio files of the table")
    sources = [_open(path, split, columns, audio_dir, preset) for split, path in named_splits(files)]
    return Corpus(
        path=sources[0].table.path,
        arguments={
            "corpus": "table",
            "tables": [
                {
                    "file": os.path.abspath(one.table.path),
                    "split": one.split,
                    "sha256": sha256_of_file(one.table.path),
                    "columns": one.columns.named(),
                    "audio-dir": os.path.abspath(one.audio_dir),
                }
                for one in sources
            ],
        },
        cuts=lambda: _cuts(sources),
        split_by=None if sources[0].split is None else "split",
    )


def _open(path: Path, split: Optional[str], columns: Columns, audio_dir: Optional[Path], preset: str) -> _Source:
    table = open_table(path)
    columns = columns.resolved(preset, [name for name in table.columns if name], str(path))
    clips = path.parent / AUDIO_FOLDERS.get(preset, "")
    return _Source(table, split, columns, audio_dir or (clips if clips.is_dir() else path.parent))


def _cuts(sources: Sequence[_Source]) -> tuple[Iterator[Cut], list[Skipped]]:
    skipped: list[Skipped] = []
    return _cuts_of(sources, skipped), skipped


def _cuts_of(sources: Sequence[_Source], skipped: list[Skipped]) -> Iterator[Cut]:
    """Goes through the tables twice, so that only names are kept. skipped: gets what cannot be used."""
    named = collections.Counter[str]()
    files = collections.Counter[str]()
    for source in sources:
        for _, _, audio in source.rows([]):
            named[audio.stem] += 1
            files[str(audio)] += 1
    if files and not any(os.path.exists(file) for file in files):
        where = sources[0].audio_dir
        raise HraError(
            f"{sources[0].table.path}: none of its audio files is there, such as {next(iter(files))}; say with "
            f"--audio-dir what their names begin from, which is not {where}"
        )
    several: dict[str, Union[Recording, str]] = {}  # of files with several rows
    for source in sources:
        for number, row, audio in source.rows(skipped):
            id_ = _id(source, number, row, audio, named)
            if id_ is None:
                skipped.append(Skipped(f"{source.table.path.name}, line {number}", "no id"))
                continue
            recording = several.get(str(audio)) or _opened(audio, id_)
            if files[str(audio)] > 1:
                several[str(audio)] = recording
            if isinstance(recording, str):
                skipped.append(Skipped(id_, "unreadable recording", recording))
                continue
            try:
                utterance = _utterance(source, id_, row)
            except (ValueError, OverflowError) as error:  # JSON has whole numbers of any size
                skipped.append(Skipped(id_, "times that cannot be", str(error)))
                continue
            cut = cut_of(utterance, recording)
            if isinstance(cut, Skipped):
                skipped.append(cut)
            else:
                yield cut


def _id(
    source: _Source, number: int, row: dict[str, Any], audio: Path, named: collections.Counter[str]
) -> Optional[str]:
    if source.columns.id is not None:
        return _word(row.get(source.columns.id))
    if named[audio.stem] == 1:
        return audio.stem
    return "-".join((audio.stem, *((source.split,) if source.split else ()), str(number)))


def _opened(audio: Path, id_: str) -> Union[Recording, str]:
    """id_: of the recording, which must not be another's."""
    try:
        recording = open_recording(audio)
    except HraError as error:
        return str(error)
    recording.id = id_
    return recording


def _utterance(source: _Source, id_: str, row: dict[str, Any]) -> Utterance:
    columns = source.columns
    # What a speaker's column is called is a name for it too, as in `--task-by client_id`.
    own = {name for kind, name in columns.named().items() if name == kind or kind not in OWN_FIELDS}
    return Utterance(
        id=id_,
        text=row.get(columns.text or ""),
        start=_seconds(row.get(columns.start or "")) or 0.0,
        end=_seconds(row.get(columns.end or "")),
        speaker=_word(row.get(columns.speaker or "")),
        gender=_word(row.get(columns.gender or "")),
        language=_word(row.get(columns.language or "")),
        fields={name: value for name, value in row.items() if name not in own},
        split=source.split,
    )


def _word(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def _seconds(value: Any) -> Optional[float]:
    """None for an empty cell. Raises ValueError for what is no number."""
    return None if value is None else float(value)
