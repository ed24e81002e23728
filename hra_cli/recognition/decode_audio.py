"""What `hra decode` does with audio files: each to a text with its words' times, in the order that was given."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from lhotse.cut import Cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.batches import audio_file_cut, task_of
from hra_cli.data.channels import channel_cuts
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import no_progress
from hra_cli.recognition.audio_options import CAPTIONS
from hra_cli.recognition.batch import Decoded, only_task
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.formats import ctm_name, lines_of
from hra_cli.recognition.load import load_for
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.tasks_table import tasks_of
from hra_cli.recognition.transcript import Transcript
from hra_cli.recognition.unknown_tasks import note_unknown
from hra_cli.recognition.voice_activity import speech
from hra_cli.scoring.wer import Utterance

Heard = Callable[[Transcript, Optional[Path]], None]


@dataclass(frozen=True)
class DecodedAudio:
    """What was recognised, in the order of the files, and the files that cannot be read: `id` is the file and `detail`
    the cause. files: how many there were."""

    decoded: Decoded
    transcripts: list[Transcript]
    unreadable: list[Skipped]
    files: int


@dataclass(frozen=True)
class _Sound:
    """A cut of an audio file, all of it or a channel. Its id is its own."""

    file: Path
    channel: Optional[int]
    cut: Cut


def decode_audio(
    config: DecodeConfig,
    progress: Optional[Progress] = None,
    heard: Heard = lambda transcript, written: None,
    note: Callable[[str], None] = lambda message: None,
) -> DecodedAudio:
    """Decodes audio files of any length, with the head of one task (the one that the config names, or the only one) or
    each with its own, by a table.

    progress: counts seconds of audio. heard: given each transcript, and its file below the config's output folder where
    there is one, as soon as it is known, in the order of the files. note: told of tasks that another task's head
    serves. A file that cannot be read is left out and listed. Raises HraError for what else the user can mend.
    """
    table = config.audio_options.tasks_from
    files = list(dict.fromkeys(config.audio))
    tasks = None if table is None else tasks_of(files, table)
    files = files or list(tasks or ())
    _check_names(config, files)
    sounds, unreadable = _open(files, config.audio_options.channels)
    folder = config.output_dir
    with contextlib.nullcontext() if folder is None or not sounds else one_writer(folder):
        return _decode(config, files, sounds, unreadable, tasks, progress or no_progress(), heard, note)


def _check_names(config: DecodeConfig, files: list[Path]) -> None:
    """Raises HraError where two files would have one name in what is written."""
    form = config.audio_options.format
    if config.output_dir is None and form in CAPTIONS and len(files) > 1:
        raise HraError(f"--format {form} of several files needs --output-dir, with a file for each")
    if config.output_dir is None and form != "ctm":
        return
    by_name: dict[str, Path] = {}
    for file in files:
        name = ctm_name(file) if form == "ctm" else file.stem
        other = by_name.setdefault(name, file)
        if other != file:
            raise HraError(f"{other} and {file} would both be called '{name}' in --format {form}; rename one")


def _open(files: list[Path], channels: str) -> tuple[list[_Sound], dict[Path, Skipped]]:
    sounds: list[_Sound] = []
    unreadable: dict[Path, Skipped] = {}
    for file in files:
        try:
            cut = audio_file_cut(file)
        except HraError as error:
            unreadable[file] = Skipped(str(file), "unreadable", str(error))
            continue
        if channels == "mix":
            sounds.append(_Sound(file, None, cut))
        else:
            sounds += [_Sound(file, number, one) for number, one in enumerate(channel_cuts(cut), start=1)]
    return sounds, unreadable


def _decode(
    config: DecodeConfig,
    files: list[Path],
    sounds: list[_Sound],
    unreadable: dict[Path, Skipped],
    tasks: Optional[dict[Path, str]],
    progress: Progress,
    heard: Heard,
    note: Callable[[str], None],
) -> DecodedAudio:
    found: dict[str, Transcript] = {}
    latency, started = None, time.monotonic()
    if sounds:
        named = list(config.tasks) if tasks is None else sorted(set(tasks.values()))
        split = None if config.audio_options.segment == "none" else speech()
        recogniser = load_for(config, named or None)
        cuts = _with_tasks(sounds, tasks, recogniser, named)
        note_unknown(note, recogniser, map(task_of, cuts), "recordings")
        started = time.monotonic()
        bar = progress.add_task("decoding", total=sum(cut.duration for cut in cuts))
        by_id = {one.cut.id: one for one in sounds}
        by_file: dict[Path, list[_Sound]] = {}
        for sound in sounds:
            by_file.setdefault(sound.file, []).append(sound)
        waiting = deque(one for file in config.audio or files for one in by_file.get(file, ()))
        for done in recogniser.decode_in_order(
            cuts, config.decoding_method, config.search_options, config.max_duration, config.num_workers, split
        ):
            for utterance, words in zip(done.utterances, done.words):
                sound = by_id[utterance.id]
                found[utterance.id] = Transcript(str(sound.file), sound.channel, utterance, words)
            for one in done.unreadable:
                file = by_id[one.id].file
                unreadable[file] = Skipped(str(file), one.reason, one.detail)
            progress.advance(bar, done.seconds)
            while waiting and (waiting[0].cut.id in found or waiting[0].file in unreadable):
                sound = waiting.popleft()
                if sound.cut.id in found:
                    transcript = found[sound.cut.id]
                    heard(transcript, _write(config, transcript))
        latency = recogniser.latency
    transcripts = [found[one.cut.id] for one in sounds if one.cut.id in found]
    utterances: list[Utterance] = [one.found for one in transcripts]
    seconds = sum(one.cut.duration for one in sounds if one.cut.id in found)
    decoded = Decoded(utterances, seconds, time.monotonic() - started, latency)
    return DecodedAudio(decoded, transcripts, [unreadable[file] for file in files if file in unreadable], len(files))


def _with_tasks(
    sounds: list[_Sound], tasks: Optional[dict[Path, str]], recogniser: Recogniser, named: list[str]
) -> list[Cut]:
    if recogniser.adapter is None:
        return [one.cut for one in sounds]
    if tasks is None:
        task = only_task(recogniser, named[0] if named else None)
        return [_with_task(one.cut, task) for one in sounds]
    return [_with_task(one.cut, tasks[one.file]) for one in sounds]


def _with_task(cut: Cut, task: str) -> Cut:
    return fastcopy(cut, custom={**(cut.custom or {}), "task": task})


def _write(config: DecodeConfig, transcript: Transcript) -> Optional[Path]:
    if config.output_dir is None:
        return None
    channel = "" if transcript.channel is None else f"-{transcript.channel}"
    form = config.audio_options.format
    file = config.output_dir / f"{Path(transcript.file).stem}{channel}.{form}"
    write_text(file, "".join(f"{line}\n" for line in lines_of(transcript, form)))
    return file
