"""Batch decoding: cuts to recognised words, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.cut_table import CutTable
from hra_cli.errors import HraError
from hra_cli.io.progress import no_progress
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.latency import Latency
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.search_options import SearchOptions


@dataclass(frozen=True)
class Decoded:
    """What was recognised. audio_seconds: of all cuts. seconds: how long it took, without loading the recogniser.
    latency: where it was recognised chunk by chunk."""

    utterances: list[Utterance]
    audio_seconds: float
    seconds: float
    latency: Optional[Latency] = None

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing per second of audio."""
        return self.seconds / self.audio_seconds if self.audio_seconds else 0.0

    def utterances_as_json(self) -> dict[str, dict[str, Any]]:
        """`{id: {"task", "ref", "hyp", "tokens", "times"}}`, sorted by id; times in seconds from the cut's start."""
        return {
            utterance.id: {
                "task": utterance.task,
                "ref": " ".join(utterance.ref),
                "hyp": " ".join(utterance.hyp),
                "tokens": utterance.tokens,
                "times": utterance.times,
            }
            for utterance in sorted(self.utterances, key=lambda utterance: utterance.id)
        }

    def speed_as_json(self) -> dict[str, Any]:
        """`{"audio_seconds", "seconds", "real_time_factor"}`, rounded, and "latency" where there is one."""
        latency = {} if self.latency is None else {"latency": self.latency.as_json()}
        return {
            "audio_seconds": round(self.audio_seconds, 2),
            "seconds": round(self.seconds, 2),
            "real_time_factor": round(self.real_time_factor, 4),
            **latency,
        }


def decode_cuts(
    recogniser: Recogniser,
    cuts: Iterable[Cut],
    method: str = DecodeConfig.decoding_method,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    max_duration: float = DecodeConfig.max_duration,
    num_workers: int = DecodeConfig.num_workers,
    progress: Optional[Progress] = None,
) -> Decoded:
    """Decodes all cuts, longest first, in batches of `max_duration` seconds; `progress` counts seconds of audio.

    Raises HraError as `Recogniser.decode` does.
    """
    table = CutTable.of(cuts)
    audio_seconds = float(table.durations.sum())
    started = time.monotonic()
    progress = progress or no_progress()
    task = progress.add_task("decoding", total=audio_seconds)
    utterances: list[Utterance] = []
    for batch, seconds in recogniser.decode_with_progress(table, method, options, max_duration, num_workers):
        utterances += batch
        progress.advance(task, seconds)
    return Decoded(utterances, audio_seconds, time.monotonic() - started, recogniser.latency)


def for_task(cuts: CutSet, recogniser: Recogniser, task: Optional[str] = None) -> CutSet:
    """Cuts of audio files, as cuts of one task: see `only_task`. Raises HraError as it does."""
    if recogniser.adapter is None:
        return cuts
    name = only_task(recogniser, task)
    return CutSet.from_cuts(fastcopy(cut, custom={**(cut.custom or {}), "task": name}) for cut in cuts)


def only_task(recogniser: Recogniser, task: Optional[str] = None) -> str:
    """The task of sound that does not say its own: the one named, or the only one that has a head; '' without heads.

    Raises HraError where several have a head and none is named.
    """
    if recogniser.adapter is None:
        return ""
    known = recogniser.adapter.tasks
    if task is None and len(known) > 1:
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise HraError(f"several heads are there ({shown}); say with --task which one the audio is for")
    return task or known[0]
