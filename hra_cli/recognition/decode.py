"""What `hra decode` does: prepared data to scores and result files, or audio files to text."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from lhotse import CutSet
from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli.data.batches import audio_file_cut
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.skipped import Skipped
from hra_cli.data.task_index import load_tasks
from hra_cli.data.transcripts import advice_for
from hra_cli.errors import HraError
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import no_progress
from hra_cli.recognition.batch import Decoded, decode_cuts, for_task, only_task
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.microphone import Heard, listen, microphone
from hra_cli.recognition.online import OnlineRecogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.streamed import StreamingRecogniser
from hra_cli.scoring.results import ResultFiles, check_names, write_results
from hra_cli.scoring.wer import Scores, Utterance, score


@dataclass(frozen=True)
class DecodedData:
    """What was recognised in prepared data, its scores, and the files that were written, if any."""

    decoded: Decoded
    scores: Scores
    files: Optional[ResultFiles] = None

    def as_json(self) -> dict[str, Any]:
        """What `hra decode --json` writes: scores, speed, and every utterance with its tokens and their times."""
        return {
            **self.scores.as_json(),
            "speed": self.decoded.speed_as_json(),
            "utterances": self.decoded.utterances_as_json(),
        }


@dataclass(frozen=True)
class DecodedAudio:
    """What was recognised in audio files, by file, in the order in which they were given, and the files that cannot be
    read: `id` is the file and `detail` the cause."""

    decoded: Decoded
    files: dict[str, Utterance]
    unreadable: list[Skipped]

    def as_json(self) -> dict[str, Any]:
        """What `hra decode --json` writes: `{file: {"text", "tokens", "times"}}`, times in seconds from its start, and
        `{file: {"error"}}` for what cannot be read."""
        return {
            **{
                file: {"text": found.text, "tokens": found.tokens, "times": found.times}
                for file, found in self.files.items()
            },
            **{one.id: {"error": one.detail} for one in self.unreadable},
        }


def decode_data(
    config: DecodeConfig,
    note: Callable[[str], None] = lambda message: None,
    progress: Optional[Progress] = None,
    scored: Callable[[DecodedData], None] = lambda found: None,
) -> DecodedData:
    """Decodes a split of prepared data, every utterance with its own task's head, and writes icefall's result files.

    note: told of tasks that are left out, and of references that the recogniser cannot write. progress: counts
    utterances. scored: given what was found before files are written, which may fail. Raises HraError for what the user
    can mend.
    """
    if config.data is None:
        raise HraError("no data to decode; give a folder that `hra prepare` has made")
    index = load_tasks(config.data)
    tasks = index.select(list(config.tasks)) if config.tasks else index.with_split(config.split)
    if not config.tasks and len(tasks) < len(index.names):
        without = ", ".join(name for name in index.names if name not in tasks)
        note(f"without a {config.split} split, not decoded: {without}")
    cuts = CutSet.from_cuts(cut for name in tasks for cut in index.cuts(name, config.split))
    output_dir = _output_dir(config)
    if output_dir is not None:  # before the work, not after it
        check_names([*tasks, *(cut.id for cut in cuts)])
    with contextlib.nullcontext() if output_dir is None else one_writer(output_dir):
        recogniser = _load(config, tasks)
        form = advice_for((cut.supervisions[0].text for cut in cuts), recogniser.tokenizer)
        if form:
            note(f"{form}; until then their words count as errors")
        decoded = _decode(config, recogniser, cuts, progress)
        found = DecodedData(decoded, score(decoded.utterances))
        try:
            scored(found)
        finally:  # what cannot be shown is written all the same
            files = None if output_dir is None else _write(config, output_dir, decoded)
    return DecodedData(decoded, found.scores, files)


def _output_dir(config: DecodeConfig) -> Optional[Path]:
    if config.output_dir is None and config.exp_dir is not None:
        return config.exp_dir / config.decoding_method
    return config.output_dir


def _write(config: DecodeConfig, output_dir: Path, decoded: Decoded) -> ResultFiles:
    setting = config.decoding_method + ("-no-heads" if config.no_heads else "")
    if config.streaming:
        chunks = config.backbone_options
        setting += f"-streaming-chunk-size-{chunks.chunk_size}-left-context-frames-{chunks.left_context_frames}"
    return write_results(output_dir, config.split, setting, decoded.utterances)


def decode_audio(
    config: DecodeConfig,
    progress: Optional[Progress] = None,
    heard: Callable[[str, Utterance], None] = lambda file, found: None,
) -> DecodedAudio:
    """Decodes audio files with the head of one task: the one that the config names, or the only one there is.

    progress: counts files. heard: given each file and what was recognised in it, as soon as that is known, in the order
    of the files. A file that cannot be read is left out and listed. Raises HraError for what else the user can mend.
    """
    cuts: list[Cut] = []
    unreadable: dict[str, Skipped] = {}
    for path in dict.fromkeys(config.audio):
        try:
            cuts.append(audio_file_cut(path))
        except HraError as error:
            unreadable[str(path)] = Skipped(str(path), "unreadable", str(error))
    found: dict[str, Utterance] = {}
    latency, started = None, time.monotonic()
    if cuts:
        recogniser = _load(config, list(config.tasks) or None)
        given = for_task(CutSet.from_cuts(cuts), recogniser, config.tasks[0] if config.tasks else None)
        started = time.monotonic()
        waiting = deque(map(str, config.audio))
        for utterances, bad in _decode_in_order(config, recogniser, given, progress):
            found.update((one.id, one) for one in utterances)
            unreadable.update((one.id, one) for one in bad)
            while waiting and (waiting[0] in found or waiting[0] in unreadable):
                file = waiting.popleft()
                if file in found:
                    heard(file, found[file])
        latency = recogniser.latency
    audio_seconds = sum(cut.duration for cut in cuts if cut.id in found)
    decoded = Decoded(list(found.values()), audio_seconds, time.monotonic() - started, latency)
    in_order = [unreadable[file] for file in dict.fromkeys(map(str, config.audio)) if file in unreadable]
    return DecodedAudio(decoded, found, in_order)


def decode_microphone(config: DecodeConfig) -> Iterator[Heard]:
    """What somebody says into the microphone, recognised with the head of one task: the one that the config names, or
    the only one there is. Ends when nobody asks for more. Raises HraError for what the user can mend."""
    recogniser = _load(config, list(config.tasks) or None)
    online = OnlineRecogniser(recogniser, config.decoding_method, config.search_options, config.endpoint_rules)
    stream = online.open(only_task(recogniser, config.tasks[0] if config.tasks else None))
    return listen(microphone(), stream, SAMPLING_RATE)


def _decode_in_order(
    config: DecodeConfig, recogniser: Recogniser, cuts: CutSet, progress: Optional[Progress]
) -> Iterator[tuple[list[Utterance], list[Skipped]]]:
    progress = progress or no_progress()
    task = progress.add_task("decoding", total=len(cuts), note="")
    for utterances, unreadable in recogniser.decode_in_order(
        cuts, config.decoding_method, config.search_options, config.max_duration, config.num_workers
    ):
        yield utterances, unreadable
        progress.advance(task, len(utterances) + len(unreadable))


def _load(config: DecodeConfig, tasks: Optional[list[str]]) -> Recogniser:
    recogniser = load_recogniser(
        config.backbone,
        config.backbone_options,
        exp_dir=None if config.no_heads else config.exp_dir,
        heads_dir=config.heads_dir,
        heads=list(config.heads) or None,
        tasks=tasks,
        controller=config.controller,
        max_heads=config.max_heads,
    )
    return StreamingRecogniser(recogniser) if config.streaming else recogniser


def _decode(config: DecodeConfig, recogniser: Recogniser, cuts: CutSet, progress: Optional[Progress]) -> Decoded:
    return decode_cuts(
        recogniser,
        cuts,
        config.decoding_method,
        config.search_options,
        config.max_duration,
        config.num_workers,
        progress,
    )
