"""A folder of recordings with their transcripts beside them, in a folder for every speaker."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from lhotse import CutSet
from lhotse.utils import fastcopy

from hra_cli.data.audio import open_recording
from hra_cli.data.corpora.utterance import Utterance, cut_of
from hra_cli.data.corpus import Corpus
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import ALSO_CALLED, SPLITS
from hra_cli.errors import HraError
from hra_cli.io.text_lines import text_lines

# Files with other names may be audio too; these are taken for it.
AUDIO_SUFFIXES = (
    ".wav", ".rf64", ".w64", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
    ".sph", ".nist", ".m4a", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".wma", ".amr",
)  # fmt: skip
# Beside x.wav there is x.txt, else x.lab, else a line that begins with x in a file of LibriSpeech's.
TEXT_SUFFIXES = (".txt", ".lab")
LINES_SUFFIX = ".trans.txt"
REMEDY = "write it as text in UTF-8"
_LONGEST_TEXT = 1 << 20  # bytes; an hour of speech has some 50 kB


@dataclass(frozen=True)
class _Found:
    """An utterance that has a recording and a transcript. id: its path in the corpus, without the suffix."""

    id: str
    audio: Path
    text: str
    split: Optional[str]
    folders: tuple[str, ...]


def folder_corpus(corpus_dir: Path) -> Corpus:
    """The recordings below `corpus_dir` that have a transcript: `SPEAKER/…/x.wav` with `x.txt` or `x.lab` beside it,
    or with a line `x TEXT` in a `*.trans.txt` of the same folder.

    Folders right below it that are called train, dev or test, or `ALSO_CALLED` so, are splits, and the speakers' are in
    them. The folders below a speaker's are the fields folder2, folder3 and so on. Links are followed, but no folder is
    read twice; what begins with a dot is left out. Other names or transcripts make another corpus.

    Raises HraError where the folder is missing or has no recordings.
    """
    if not os.path.isdir(corpus_dir):  # also where the name is too long
        raise HraError(f"no such folder: {corpus_dir}; give one with a folder of recordings for every speaker")
    utterances, skipped = _find(Path(corpus_dir))
    if not utterances and not skipped:
        raise HraError(f"no recordings in {corpus_dir}; it should have files such as ann/x.wav and ann/x.txt")
    digest = hashlib.sha256()
    for one in utterances:
        digest.update((json.dumps([one.id, one.audio.suffix, one.text]) + "\n").encode())
    return Corpus(
        path=Path(corpus_dir),
        arguments={
            "corpus": "folder",
            "corpus-dir": os.path.abspath(corpus_dir),
            "transcripts-sha256": digest.hexdigest(),
        },
        cuts=lambda: _cuts(utterances, skipped),
        split_by="split" if any(one.split for one in utterances) else None,
    )


def _cuts(utterances: list[_Found], skipped: list[Skipped]) -> tuple[CutSet, list[Skipped]]:
    cuts, without = [], []
    for one in utterances:
        fields = {f"folder{number}": name for number, name in enumerate(one.folders[1:], 2)}
        speaker = one.folders[0] if one.folders else None
        try:
            recording = fastcopy(open_recording(one.audio), id=one.id)
        except HraError as error:
            without.append(Skipped(one.id, "unreadable recording", str(error)))
            continue
        cut = cut_of(Utterance(one.id, one.text, speaker=speaker, fields=fields, split=one.split), recording)
        if isinstance(cut, Skipped):
            without.append(cut)
        else:
            cuts.append(cut)
    return CutSet.from_cuts(cuts), [*skipped, *without]


def _find(corpus_dir: Path) -> tuple[list[_Found], list[Skipped]]:
    """What is in a corpus, in the order of its folders, and what cannot be used."""
    found: list[_Found] = []
    skipped: list[Skipped] = []
    for folders, names in _walk(corpus_dir, skipped):
        split = folders[0] if folders and _is_split(folders[0]) else None
        for one in _in_folder(corpus_dir, folders, names, skipped):
            found.append(replace(one, split=split, folders=folders[1:] if split else folders))
    return found, skipped


def _walk(corpus_dir: Path, skipped: list[Skipped]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every folder once, by the names on the way to it, with the names of the recordings and transcripts in it."""
    todo: list[tuple[str, ...]] = [()]
    seen: dict[tuple[int, int], str] = {}
    while todo:
        folders = todo.pop()
        path = corpus_dir.joinpath(*folders)
        shown = "/".join(folders) or str(corpus_dir)
        try:
            state = path.stat()
            # A link may lead to a folder above, or many links to one below, and so to paths without end.
            if seen.setdefault((state.st_dev, state.st_ino), shown) != shown:
                there = seen[state.st_dev, state.st_ino]
                skipped.append(Skipped(shown, "a folder that is in the corpus twice", f"also as {there}"))
                continue
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(Skipped(shown, "unreadable folder", error.strerror or str(error)))
            continue
        names, below = [], []
        for entry in listed:
            id_ = "/".join([*folders, entry.name])
            if entry.name.startswith("."):  # also what macOS leaves beside every file
                continue
            if not _is_text(entry.name):
                skipped.append(Skipped(id_, "a name that is no UTF-8"))
            elif _is(entry, os.DirEntry.is_dir):
                below.append((*folders, entry.name))
            elif _is_audio(entry.name) or entry.name.lower().endswith(TEXT_SUFFIXES):
                if _is(entry, os.DirEntry.is_file):
                    names.append(entry.name)
                else:  # a link to nowhere, or a pipe, at which reading would wait
                    skipped.append(Skipped(id_, "no regular file", str(path / entry.name)))
        todo += reversed(below)
        yield folders, names


def _in_folder(
    corpus_dir: Path, folders: tuple[str, ...], names: list[str], skipped: list[Skipped]
) -> Iterator[_Found]:
    """The utterances in one folder."""
    path = corpus_dir.joinpath(*folders)
    recordings: dict[str, str] = {}
    transcripts: dict[str, dict[str, str]] = {suffix: {} for suffix in TEXT_SUFFIXES}
    lines: dict[str, Optional[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if name.lower().endswith(LINES_SUFFIX):
            _read_lines(path / name, "/".join([*folders, name]), lines, skipped)
        elif suffix.lower() in TEXT_SUFFIXES:
            transcripts[suffix.lower()][stem] = name
        elif stem in recordings:
            id_ = "/".join([*folders, name])
            skipped.append(Skipped(id_, "another recording of the same name", f"{recordings[stem]} is taken"))
        else:
            recordings[stem] = name
    for stem, name in recordings.items():
        id_ = "/".join([*folders, stem])
        beside = next((found[stem] for found in transcripts.values() if stem in found), None)
        try:
            text = lines.get(stem) if beside is None else _text(path / beside)
        except HraError as error:
            skipped.append(Skipped(id_, "unreadable transcript", str(error)))
            continue
        if text is not None:
            yield _Found(id_, path / name, text, None, ())
        elif stem in lines:
            skipped.append(Skipped(id_, "two transcripts that differ", str(path / name)))
        else:
            skipped.append(Skipped(id_, "no transcript", str(path / name)))
    without = {name for found in transcripts.values() for stem, name in found.items() if stem not in recordings}
    for name in sorted({*without, *(stem for stem in lines if stem not in recordings)}):
        skipped.append(Skipped("/".join([*folders, name]), "transcript without a recording"))


def _text(file: Path) -> str:
    """A transcript in a file of its own, in one line. Raises HraError where it is none."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise HraError(f"{file}: {error.strerror or error}") from error
    if size > _LONGEST_TEXT:
        raise HraError(f"{file}: it is longer than {_LONGEST_TEXT >> 20} MiB, which is no transcript of an utterance")
    return " ".join(word for _, line in text_lines(file, REMEDY) for word in line.split())


def _read_lines(file: Path, id_: str, lines: dict[str, Optional[str]], skipped: list[Skipped]) -> None:
    """LibriSpeech's transcripts, a line `NAME TEXT` each. lines: gets the texts, None for two that differ."""
    try:
        for _, line in text_lines(file, REMEDY):
            name, _, text = " ".join(line.split()).partition(" ")
            if name:
                lines[name] = text if lines.get(name, text) == text else None
    except HraError as error:
        skipped.append(Skipped(id_, "unreadable transcripts", str(error)))


def _is_audio(name: str) -> bool:
    return name.lower().endswith(AUDIO_SUFFIXES)


def _is_split(name: str) -> bool:
    return name.lower() in (*SPLITS, *ALSO_CALLED)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    try:
        return kind(entry)
    except OSError:  # links in a circle
        return False
