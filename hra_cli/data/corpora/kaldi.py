"""Kaldi's data folders: wav.scp, segments, text, utt2spk and the like.

lhotse reads them too; its reader runs what a wav.scp names, and stops at the first fault.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Union

from lhotse import Recording
from lhotse.cut import Cut

from hra_cli.data.audio import open_command, open_recording
from hra_cli.data.corpora.named_splits import named_splits
from hra_cli.data.corpora.utterance import Utterance, cut_of
from hra_cli.data.corpus import Corpus
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.io.documents import digest_of
from hra_cli.io.files import sha256_of_file
from hra_cli.io.text_lines import refuse_another, text_lines

_REMEDY = "correct the folder, see Kaldi's utils/validate_data_dir.sh"
# What C calls white space. Others, such as the ideographic space, are a transcript's own.
_SPACE = " \t\r\f\v"
_SPACES = re.compile(f"[{_SPACE}]+")
# Files of what is known of utterances and speakers, by its name.
_FIELD = re.compile(r"(utt|spk)2([A-Za-z][A-Za-z0-9_-]*)")
_NO_FIELDS = ("utt2spk", "spk2utt", "utt2dur", "utt2num_frames")
_OWN_FIELDS = {"gender": "gender", "lang": "language", "language": "language"}
_IN_ARCHIVE = re.compile(r".*:[0-9]+(\[[0-9:,]*\])?")
_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}
_LOOKED_AT = 1000  # recordings, to find out where they lie


@dataclass(frozen=True)
class _Folder:
    """split: which one it is. root: what paths are relative to. audio: paths and commands by recording."""

    path: Path
    split: Optional[str]
    root: Path
    audio: dict[str, str]


@dataclass(frozen=True)
class _Segment:
    recording: str
    start: float = 0.0
    end: Optional[float] = None
    channel: Optional[int] = None


def kaldi_corpus(folders: Sequence[Path], root: Optional[Path] = None, allow_commands: bool = False) -> Corpus:
    """The utterances of data folders, given as in `named_splits`; without names, splits are drawn.

    root:           what relative paths in wav.scp begin from, and where commands run. Without it, the folder, its
                    parent or the one above, whichever has the audio, and the working folder for commands.
    allow_commands: whether shell commands in wav.scp may run, first when the cuts are made.

    What `utt2X` and `spk2X` say becomes the field X: gender and language lhotse's own, others custom. Raises HraError
    where a folder has no wav.scp or text, or a command would have to run and may not; and when the cuts are made, where
    none of a folder's audio is there, and for a file that contradicts itself.
    """
    if root is not None and not os.path.isdir(root):
        raise HraError(f"no such folder: {root}; give what the paths in wav.scp begin from")
    found = [_open(path, split, root, allow_commands) for split, path in named_splits(folders)]
    return Corpus(
        path=found[0].path,
        arguments={
            "corpus": "kaldi",
            "folders": [
                {"dir": os.path.abspath(one.path), "split": one.split, "sha256": _digest(one.path)} for one in found
            ],
            **({"root": os.path.abspath(root)} if root is not None else {}),
        },
        cuts=lambda: _cuts(found, run_in=root),
        split_by=None if found[0].split is None else "split",
        allow_commands=allow_commands,
        notes=tuple(
            f"{one.path / 'wav.scp'}: paths are relative to {one.root}"
            for one in found
            if root is None and any(_is_relative(place) for place in one.audio.values())
        ),
    )


def _open(path: Path, split: Optional[str], root: Optional[Path], allow_commands: bool) -> _Folder:
    if not os.path.isdir(path):  # also where the name is too long
        raise HraError(f"no such folder: {path}; give a data folder of Kaldi's")
    scp = path / "wav.scp"
    if not os.path.isfile(scp):
        raise HraError(f"{path} is no data folder of Kaldi's: it has no wav.scp")
    if not os.path.isfile(path / "text"):
        raise HraError(f"{path} has no file `text`, and so no transcripts; add it")
    audio: dict[str, str] = {}
    for number, id_, place in _pairs(scp):
        what = f"{scp}, line {number}"
        if not place:
            raise HraError(f"{what}: there is no audio for '{id_}'; {_REMEDY}")
        refuse_another(scp, number, id_, place, audio.setdefault(id_, place))
        _refuse_what_is_no_file(place, what, allow_commands)
    files = [place for place in audio.values() if not _is_command(place)]
    return _Folder(path, split, root if root is not None else _root_of(path, files), audio)


def _is_command(place: str) -> bool:
    return place.endswith("|")


def _is_relative(place: str) -> bool:
    return not _is_command(place) and not os.path.isabs(place)


def _refuse_what_is_no_file(place: str, what: str, allow_commands: bool) -> None:
    shown = place[:200]
    if _is_command(place):
        if not allow_commands:
            raise HraError(
                f"{what}: the audio is what a shell command writes: {shown!r}; give --allow-commands if you trust all "
                "of them, or write files with Kaldi's wav-copy"
            )
    elif place == "-" or place.startswith("|"):
        raise HraError(f"{what}: {shown!r} is no audio file; write one for every recording")
    elif _IN_ARCHIVE.fullmatch(place):
        raise HraError(f"{what}: the audio is inside an archive, {shown!r}; write files with Kaldi's wav-copy")


def _root_of(path: Path, files: Sequence[str]) -> Path:
    """The folder, its parent or the one above: the first that has the most of the audio files."""
    relative = [place for place in files if _is_relative(place)][:_LOOKED_AT]
    # Of the absolute path, since `.` has no parent.
    candidates = [path, *Path(os.path.abspath(path)).parents[:2]]
    return max(candidates, key=lambda root: sum(os.path.exists(root / place) for place in relative))


def _cuts(folders: Sequence[_Folder], run_in: Optional[Path]) -> tuple[Iterator[Cut], list[Skipped]]:
    skipped: list[Skipped] = []
    return _cuts_of(folders, run_in, skipped), skipped


def _cuts_of(folders: Sequence[_Folder], run_in: Optional[Path], skipped: list[Skipped]) -> Iterator[Cut]:
    """skipped: gets what cannot be used."""
    opened: dict[str, tuple[str, Union[Recording, str]]] = {}  # by id: where, and the recording or why there is none
    for folder in folders:
        _refuse_no_audio(folder)
        sides = _sides(folder.path / "reco2file_and_channel")
        for utterance, recording_id in _utterances(folder, skipped):
            place = folder.audio.get(recording_id)
            if place is None:
                skipped.append(Skipped(utterance.id, "no audio", f"'{recording_id}' is not in {folder.path}/wav.scp"))
                continue
            place = place if _is_command(place) else os.path.abspath(folder.root / place)
            if recording_id not in opened:
                opened[recording_id] = place, _opened(recording_id, place, run_in)
            before, recording = opened[recording_id]
            if before != place:
                raise HraError(f"recording '{recording_id}' is {before} and, in {folder.path}, {place}; rename one")
            if isinstance(recording, str):
                skipped.append(Skipped(utterance.id, "unreadable recording", recording))
                continue
            if utterance.channel is None and recording.num_channels > 1:
                # One channel may be side B too: of a call whose sides are recordings, as in Switchboard's recipe.
                utterance = replace(utterance, channel=sides.get(recording_id))
            cut = cut_of(utterance, recording)
            if isinstance(cut, Skipped):
                skipped.append(cut)
            else:
                yield cut


def _refuse_no_audio(folder: _Folder) -> None:
    files = [folder.root / place for place in folder.audio.values() if not _is_command(place)]
    if files and len(files) == len(folder.audio) and not any(os.path.exists(file) for file in files):
        raise HraError(f"{folder.path / 'wav.scp'}: none of its audio files is there, such as {files[0]}; see --root")


def _opened(id_: str, place: str, run_in: Optional[Path]) -> Union[Recording, str]:
    try:
        if not _is_command(place):
            recording = open_recording(Path(place))
            recording.id = id_
            return recording
        command = place[:-1].strip()
        if run_in is not None:
            command = f"cd {shlex.quote(os.path.abspath(run_in))} || exit\n{command}"
        return open_command(command, id_)
    except HraError as error:
        return str(error)


def _utterances(folder: _Folder, skipped: list[Skipped]) -> Iterator[tuple[Utterance, str]]:
    """Each with the id of its recording. skipped: gets those without text or times, and texts without audio."""
    path = folder.path
    texts = _mapping(path / "text")
    speakers = _mapping(path / "utt2spk")
    fields = _fields(path)
    without_audio = dict.fromkeys(texts)
    for id_, segment in _segments(folder):
        without_audio.pop(id_, None)
        if isinstance(segment, str):
            skipped.append(Skipped(id_, "line that is no segment", segment))
            continue
        if id_ not in texts:
            skipped.append(Skipped(id_, "no text", f"it is not in {path / 'text'}"))
            continue
        speaker = speakers.get(id_)
        known: dict[str, str] = {}
        for of, name, values in fields:
            value = values.get(id_ if of == "utt" else speaker or "")
            if value:
                known[name] = value
        yield (
            Utterance(
                id_,
                texts[id_],
                segment.start,
                segment.end,
                segment.channel,
                speaker or None,
                known.pop("gender", None),
                known.pop("language", None),
                known,
                folder.split,
            ),
            segment.recording,
        )
    skipped += (Skipped(id_, "no audio", f"only {path / 'text'} has it") for id_ in without_audio)


def _segments(folder: _Folder) -> Iterator[tuple[str, Union[_Segment, str]]]:
    """By utterance: the lines of `segments`, or what is wrong with one; without such a file every recording, whole."""
    file = folder.path / "segments"
    if not os.path.lexists(file):
        yield from ((id_, _Segment(id_)) for id_ in folder.audio)
        return
    lines: dict[str, str] = {}
    for number, id_, rest in _pairs(file):
        if id_ in lines:
            refuse_another(file, number, id_, rest, lines[id_])
            continue
        lines[id_] = rest
        yield id_, _segment(_SPACES.split(rest)) or f"{file}, line {number}: {rest[:100]}"


def _segment(cells: Sequence[str]) -> Optional[_Segment]:
    try:
        recording, start, end, channel = [*cells, "-1"][:4] if len(cells) < 5 else cells
        # -1 is Kaldi's for the end of the recording, and for any channel.
        last = None if float(end) == -1 else float(end)
        return _Segment(recording, float(start), last, None if int(channel) == -1 else int(channel))
    except ValueError:
        return None


def _fields(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """(utt or spk, field, values) of every file of that kind, those of utterances last."""
    matches = [_FIELD.fullmatch(name) for name in _names(path) if name not in _NO_FIELDS]
    found = sorted((match[1], match[2], match[0]) for match in matches if match is not None)
    return [(of, _OWN_FIELDS.get(name, name), _mapping(path / file)) for of, name, file in found]


def _sides(file: Path) -> dict[str, int]:
    """The channels by recording, where the file says one."""
    found = {}
    for id_, rest in _mapping(file).items():
        side = _SPACES.split(rest)[-1]
        if side not in _CHANNELS:
            raise HraError(f"{file}: the channel of '{id_}' is '{side[:100]}', which is neither A nor B; {_REMEDY}")
        found[id_] = _CHANNELS[side]
    return found


def _mapping(file: Path) -> dict[str, str]:
    """What a file says of each id; nothing where there is no such file."""
    found: dict[str, str] = {}
    for number, id_, rest in _pairs(file) if os.path.lexists(file) else ():
        refuse_another(file, number, id_, rest, found.setdefault(id_, rest))
    return found


def _pairs(file: Path) -> Iterator[tuple[int, str, str]]:
    """(line, id, the rest) of every line that is not empty."""
    for number, line in text_lines(file, _REMEDY):
        content = line.strip(_SPACE + "\n")
        if content:
            id_, *rest = _SPACES.split(content, maxsplit=1)
            yield number, id_, "".join(rest)


def _digest(path: Path) -> str:
    """Of all files that decide the cuts."""
    deciding = ("wav.scp", "segments", "text", "utt2spk", "reco2file_and_channel")
    names = [name for name in _names(path) if name in deciding or (_FIELD.fullmatch(name) and name not in _NO_FIELDS)]
    try:
        return digest_of({name: sha256_of_file(path / name) for name in names})
    except OSError as error:
        raise HraError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _names(path: Path) -> list[str]:
    """The regular files of the folder, sorted."""
    try:
        return sorted(name for name in os.listdir(path) if os.path.isfile(path / name))
    except OSError as error:
        raise HraError(f"cannot read {path}: {error.strerror or error}") from error
