"""What `hra decode` does: prepared data to scores and result files, or audio files to text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from lhotse import CutSet
from rich.progress import Progress

from hra_cli.data.batches import audio_file_cuts
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError
from hra_cli.io.writable import check_folder
from hra_cli.recognition.batch import Decoded, decode_cuts, for_task
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.results import ResultFiles, check_names, write_results
from hra_cli.scoring.wer import Scores, Utterance, score


@dataclass(frozen=True)
class DecodedData:
    """What was recognised in prepared data, its scores, and the files that were written, if any."""

    decoded: Decoded
    scores: Scores
    files: Optional[ResultFiles]

    def as_json(self) -> dict[str, Any]:
        """What `hra decode --json` writes: scores, speed, and every utterance with its tokens and their times."""
        return {
            **self.scores.as_json(),
            "speed": self.decoded.speed_as_json(),
            "utterances": self.decoded.utterances_as_json(),
        }


@dataclass(frozen=True)
class DecodedAudio:
    """What was recognised in audio files, by file, in the order in which they were given."""

    decoded: Decoded
    files: dict[str, Utterance]

    def as_json(self) -> dict[str, Any]:
        """What `hra decode --json` writes: `{file: {"text", "tokens", "times"}}`, times in seconds from its start."""
        return {
            file: {"text": " ".join(found.hyp), "tokens": found.tokens, "times": found.times}
            for file, found in self.files.items()
        }


def decode_data(
    config: DecodeConfig, note: Callable[[str], None] = lambda message: None, progress: Optional[Progress] = None
) -> DecodedData:
    """Decodes a split of prepared data, every utterance with its own task's head, and writes icefall's result files.

    note: told of tasks that are left out. progress: counts utterances. Raises HraError for what the user can mend.
    """
    if config.data is None:
        raise HraError("no data to decode; give a folder that `hra prepare` has made")
    index = load_tasks(config.data)
    tasks = index.select(list(config.tasks)) if config.tasks else index.with_split(config.split)
    if not config.tasks and len(tasks) < len(index.names):
        without = ", ".join(name for name in index.names if name not in tasks)
        note(f"without a {config.split} split, not decoded: {without}")
    cuts = CutSet.from_cuts(cut for name in tasks for cut in index.cuts(name, config.split))
    output_dir = config.output_dir
    if output_dir is None and config.exp_dir is not None:
        output_dir = config.exp_dir / config.decoding_method
    if output_dir is not None:  # before the work, not after it
        check_names([*tasks, *(cut.id for cut in cuts)])
        check_folder(output_dir)
    decoded = _decode(config, _load(config, tasks), cuts, progress)
    files = None
    if output_dir is not None:
        setting = config.decoding_method + ("-no-heads" if config.no_heads else "")
        files = write_results(output_dir, config.split, setting, decoded.utterances)
    return DecodedData(decoded, score(decoded.utterances), files)


def decode_audio(config: DecodeConfig, progress: Optional[Progress] = None) -> DecodedAudio:
    """Decodes audio files with the head of one task: the one that the config names, or the only one there is.

    progress: counts files. Raises HraError for what the user can mend.
    """
    files = audio_file_cuts(list(config.audio))
    recogniser = _load(config, list(config.tasks) or None)
    cuts = for_task(files, recogniser, config.tasks[0] if config.tasks else None)
    decoded = _decode(config, recogniser, cuts, progress)
    found = {utterance.id: utterance for utterance in decoded.utterances}
    return DecodedAudio(decoded, {cut.id: found[cut.id] for cut in files})


def _load(config: DecodeConfig, tasks: Optional[list[str]]) -> Recogniser:
    return load_recogniser(
        config.backbone,
        config.backbone_options,
        exp_dir=None if config.no_heads else config.exp_dir,
        heads_dir=config.heads_dir,
        heads=list(config.heads) or None,
        tasks=tasks,
        controller=config.controller,
        max_heads=config.max_heads,
    )


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
