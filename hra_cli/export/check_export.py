"""What `hra check-export` does: a test set by sherpa-onnx and by hra, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli.data.audio import Samples, mono_audio, one_line
from hra_cli.data.features import SAMPLING_RATE, fbank
from hra_cli.data.task_index import TaskIndex, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.export.check_config import SEARCHES, CheckConfig
from hra_cli.export.export_config import VARIANTS
from hra_cli.export.export_record import ExportRecord, check_files, read_record, recogniser_of
from hra_cli.export.graph_files import weights_file
from hra_cli.export.libraries import import_library
from hra_cli.export.sherpa import TAIL, Sherpa, graph_names
from hra_cli.io.progress import no_progress
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.online import OnlineRecogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.wer import Scores, Utterance, score

_STREAMS = 32  # beside each other


@dataclass(frozen=True)
class Side:
    """What hra, or sherpa-onnx with the graphs of one variant, recognised. seconds: it took, without loading."""

    name: str
    utterances: dict[str, Utterance]
    seconds: float

    @property
    def scores(self) -> Scores:
        """Its word errors."""
        return score(self.utterances.values())


@dataclass(frozen=True)
class Checked:
    """What was recognised in the same audio. sides: sherpa-onnx, for every variant that the folder has."""

    hra: Side
    sides: list[Side]
    audio_seconds: float

    def differing(self, side: Side) -> list[tuple[Utterance, Utterance]]:
        """Utterances in which hra and that side recognised other words: hra's and the side's."""
        pairs = ((self.hra.utterances[id_], other) for id_, other in side.utterances.items())
        return [(one, other) for one, other in pairs if one.hyp != other.hyp]

    def as_json(self) -> dict[str, Any]:
        """What `hra check-export --json` writes."""
        return {
            side.name: {
                **side.scores.as_json(),
                "seconds": round(side.seconds, 2),
                "differing": {
                    one.id: {"task": one.task, "hra": one.text, side.name: other.text}
                    for one, other in self.differing(side)
                },
            }
            for side in (self.hra, *self.sides)
        }


def check_export(
    config: CheckConfig, note: Callable[[str], None] = lambda message: None, progress: Optional[Progress] = None
) -> Checked:
    """Decodes a split of prepared data with sherpa-onnx, every task with its own graph, and with the recogniser and
    heads that the folder was exported from. Both get the same audio at 16 kHz, and compute features of their own.

    note: told of tasks that are left out. progress: counts utterances. Raises HraError for what the user can mend.
    """
    if config.decoding_method not in SEARCHES:
        raise HraError(f"sherpa-onnx has no {config.decoding_method}; choose one of {', '.join(SEARCHES)}")
    import_library("sherpa_onnx")
    index = load_tasks(config.data)
    record = read_record(config.folder)
    with_heads = bool(record.tasks) and not config.no_heads
    tasks = _tasks(config, record, index, with_heads, note)
    graphs = [task if with_heads else None for task in tasks]
    for variant in record.variants:
        names = {name for graph in graphs for name in graph_names(variant, graph).values()}
        check_files(record, config.folder, sorted({*names, weights_file(variant)}))
    cuts = {task: list(index.cuts(task, config.split)) for task in tasks}
    audio = {cut.id: _audio(cut) for own in cuts.values() for cut in own}
    recogniser = recogniser_of(record, config.folder, tasks if with_heads else [])
    progress = progress or no_progress()
    count = progress.add_task("checking", total=len(audio) * (1 + len(record.variants)), note="")
    hra = _by_hra(config, record, recogniser, cuts, audio)
    progress.advance(count, len(audio))
    sides = []
    for variant in record.variants:
        sides.append(
            _by_sherpa(
                config, record, variant, cuts, audio, with_heads, recogniser.tokenizer, lambda: progress.advance(count)
            )
        )
    return Checked(hra, sides, sum(len(samples) for samples in audio.values()) / SAMPLING_RATE)


def _tasks(
    config: CheckConfig, record: ExportRecord, index: TaskIndex, with_heads: bool, note: Callable[[str], None]
) -> list[str]:
    if not with_heads:
        return index.select(list(config.tasks)) if config.tasks else index.with_split(config.split)
    for task in config.tasks:
        if task not in record.tasks:
            raise HraError(f"{config.folder} has no encoder of task '{task}'; export it, or check with --no-heads")
    if config.tasks:
        return index.select(list(config.tasks))
    there = index.with_split(config.split)
    tasks = [task for task in there if task in record.tasks]
    if not tasks:
        raise HraError(f"{config.folder} has an encoder of no task in {config.data}; check with --no-heads")
    if len(tasks) < len(there):
        note(f"without an encoder, not decoded: {', '.join(task for task in there if task not in record.tasks)}")
    return tasks


def _audio(cut: Cut) -> Samples:
    """(samples,) at 16 kHz."""
    try:
        samples: Samples = mono_audio(cut)[0]
    except Exception as error:  # decoders raise errors of many kinds
        raise HraError(
            f"cannot read the audio of cut '{cut.id}': {one_line(error)}; put it back, sherpa-onnx computes features "
            "of its own"
        ) from error
    return samples


def _by_hra(
    config: CheckConfig,
    record: ExportRecord,
    recogniser: Recogniser,
    cuts: dict[str, list[Cut]],
    audio: dict[str, Samples],
) -> Side:
    started = time.monotonic()
    if record.chunk_size is None:
        # Stored features are rounded, which would be a difference of its own.
        without_features = CutSet.from_cuts(cut.drop_features() for own in cuts.values() for cut in own)
        found = decode_cuts(recogniser, without_features, config.decoding_method).utterances
    else:
        online = OnlineRecogniser(recogniser, config.decoding_method)
        found = [one for task, own in cuts.items() for one in _streamed(online, task, own, audio)]
    return Side("hra", {one.id: one for one in found}, time.monotonic() - started)


def _streamed(online: OnlineRecogniser, task: str, cuts: list[Cut], audio: dict[str, Samples]) -> Iterator[Utterance]:
    """As streams that hear what sherpa-onnx's hear, and end where those end."""
    extractor = fbank()
    tail = torch.zeros(round(TAIL * SAMPLING_RATE))
    for begin in range(0, len(cuts), _STREAMS):
        batch = cuts[begin : begin + _STREAMS]
        streams = [online.open(task) for _ in batch]
        for stream, cut in zip(streams, batch):
            features = extractor.extract(torch.cat([torch.from_numpy(audio[cut.id]), tail]), SAMPLING_RATE)
            # sherpa-onnx takes a chunk when more frames are there than it takes; hra would take one more at times.
            chunks = max(0, -(-(len(features) - online.take) // online.shift))
            frames = (chunks - 1) * online.shift + online.take if chunks else 0
            stream.accept_features(features[:frames])
        online.run(streams)
        for stream, cut in zip(streams, batch):
            yield _utterance(cut, task, online.model.tokenizer, stream.text())


def _by_sherpa(
    config: CheckConfig,
    record: ExportRecord,
    variant: str,
    cuts: dict[str, list[Cut]],
    audio: dict[str, Samples],
    with_heads: bool,
    tokenizer: Tokenizer,
    done: Callable[[], None],
) -> Side:
    found = {}
    seconds = 0.0
    for task, own in cuts.items():
        graph = task if with_heads else None
        threads = torch.get_num_threads()
        sherpa = Sherpa(config.folder, record.chunk_size is not None, variant, graph, config.decoding_method, threads)
        started = time.monotonic()
        for cut in own:
            (hyp,) = sherpa.recognise([audio[cut.id]])
            found[cut.id] = _utterance(cut, task, tokenizer, " ".join(hyp))
            done()
        seconds += time.monotonic() - started
    name = "sherpa-onnx" if not variant else f"sherpa-onnx {VARIANTS[variant]}"
    return Side(name, found, seconds)


def _utterance(cut: Cut, task: str, tokenizer: Tokenizer, text: str) -> Utterance:
    text = " ".join(text.split())
    return Utterance(cut.id, task, tokenizer.words(cut.supervisions[0].text or ""), tokenizer.words(text), text)
