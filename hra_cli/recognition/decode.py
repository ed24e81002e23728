"""What `hra decode` does with prepared data, to scores and result files, and with a microphone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Optional

from rich.progress import Progress

from hra_cli.data.batches import task_of
from hra_cli.data.cut_table import CutTable
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.task_index import load_tasks
from hra_cli.data.transcripts import advice_for
from hra_cli.errors import HraError
from hra_cli.io.lock import one_writer
from hra_cli.recognition.batch import Decoded, decode_cuts, only_task
from hra_cli.recognition.clustered import decode_on_cluster
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_for
from hra_cli.recognition.microphone import Heard, listen, microphone
from hra_cli.recognition.online import OnlineRecogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.unknown_tasks import note_unknown
from hra_cli.scoring.results import ResultFiles, check_names, write_results
from hra_cli.scoring.wer import Scores, score


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


def decode_data(
    config: DecodeConfig,
    note: Callable[[str], None] = lambda message: None,
    progress: Optional[Progress] = None,
    scored: Callable[[DecodedData], None] = lambda found: None,
) -> DecodedData:
    """Decodes a split of prepared data, every utterance with its own task's head, and writes icefall's result files.

    note: told of tasks that are left out or that another task's head serves, and of references that the recogniser
    cannot write. progress: counts seconds of audio. scored: given what was found before files are written, which may
    fail. Raises HraError for what the user can mend.
    """
    if config.data is None:
        raise HraError("no data to decode; give a folder that `hra prepare` has made")
    index = load_tasks(config.data)
    tasks = index.select(list(config.tasks)) if config.tasks else index.with_split(config.split)
    if not config.tasks and len(tasks) < len(index.names):
        without = ", ".join(name for name in index.names if name not in tasks)
        note(f"without a {config.split} split, not decoded: {without}")
    cuts = index.table(tasks, config.split)
    output_dir = _output_dir(config)
    if output_dir is not None:  # before the work, not after it
        check_names(chain(tasks, (cut.id for cut in cuts)))
    with contextlib.nullcontext() if output_dir is None else one_writer(output_dir):
        recogniser = load_for(config, tasks)
        note_unknown(note, recogniser, map(task_of, cuts), "utterances")
        form = advice_for((cut.supervisions[0].text for cut in cuts), recogniser.tokenizer)
        if form:
            note(f"{form}; until then their words count as errors")
        if config.cluster is not None:
            decoded = decode_on_cluster(config, tasks, cuts, progress)
        else:
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
    chunks = config.backbone_options
    setting += "-streaming" if config.streaming else ""
    setting += "" if chunks.chunk_size is None else f"-chunk-size-{chunks.chunk_size}"
    setting += "" if chunks.left_context_frames is None else f"-left-context-frames-{chunks.left_context_frames}"
    return write_results(output_dir, config.split, setting, decoded.utterances)


def decode_microphone(config: DecodeConfig, note: Callable[[str], None] = lambda message: None) -> Iterator[Heard]:
    """What somebody says into the microphone, recognised with the head of one task: the one that the config names, or
    the only one there is. Ends when nobody asks for more. note: told where another task's head serves it. Raises
    HraError for what the user can mend."""
    recogniser = load_for(config, list(config.tasks) or None)
    online = OnlineRecogniser(recogniser, config.decoding_method, config.search_options, config.endpoint_rules)
    task = only_task(recogniser, config.tasks[0] if config.tasks else None)
    note_unknown(note, recogniser, [task], "stream")
    stream = online.open(task)
    return listen(microphone(), stream, SAMPLING_RATE)


def _decode(config: DecodeConfig, recogniser: Recogniser, cuts: CutTable, progress: Optional[Progress]) -> Decoded:
    return decode_cuts(
        recogniser,
        cuts,
        config.decoding_method,
        config.search_options,
        config.max_duration,
        config.num_workers,
        progress,
    )
