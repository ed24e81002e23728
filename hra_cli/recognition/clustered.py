"""Decoding prepared data on a cluster: batches dealt out in shards."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Optional

from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli.backbone.location import recorded
from hra_cli.data.batch_plan import decoding_batches
from hra_cli.data.cut_table import CutTable
from hra_cli.io.cluster import cluster_executor, outcome
from hra_cli.io.progress import no_progress
from hra_cli.recognition.batch import Decoded, decode_cuts
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_for
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.wer import Utterance

BATCHES_PER_JOB = 10


def decode_on_cluster(
    config: DecodeConfig, tasks: Sequence[str], cuts: Sequence[Cut], progress: Optional[Progress] = None
) -> Decoded:
    """As `decode_cuts`, by the workers of `config.cluster`, which load the recogniser once each.

    Every utterance comes out as it does here. Raises HraError for what a worker cannot decode.
    """
    assert config.cluster is not None
    config = _from_anywhere(config)
    table = CutTable.of(cuts)
    audio_seconds = float(table.durations.sum())
    progress = progress or no_progress()
    bar = progress.add_task("decoding", total=audio_seconds)
    utterances: list[Utterance] = []
    started = time.monotonic()
    with cluster_executor(config.cluster) as executor:
        batches = iter(decoding_batches(table, config.max_duration))
        jobs = []
        while shard := [cut for batch in islice(batches, BATCHES_PER_JOB) for cut in batch]:
            jobs.append(executor.submit(_decode_shard, config, tuple(tasks), shard))
        for job in jobs:
            decoded = outcome(job, f"a job failed on {config.cluster}")
            utterances += decoded.utterances
            progress.advance(bar, decoded.audio_seconds)
    return Decoded(utterances, audio_seconds, time.monotonic() - started)


def _decode_shard(config: DecodeConfig, tasks: tuple[str, ...], cuts: list[Cut]) -> Decoded:
    return decode_cuts(
        _recogniser(config, tasks),
        cuts,
        config.decoding_method,
        config.search_options,
        config.max_duration,
        config.num_workers,
    )


@functools.lru_cache(maxsize=1)
def _recogniser(config: DecodeConfig, tasks: tuple[str, ...]) -> Recogniser:
    """What a worker keeps from one shard to the next."""
    return load_for(config, list(tasks))


def _from_anywhere(config: DecodeConfig) -> DecodeConfig:
    """The same with absolute paths: workers may be in another folder."""

    def absolute(path: Optional[Path]) -> Optional[Path]:
        return None if path is None else path.absolute()

    return dataclasses.replace(
        config,
        backbone=Path(recorded(config.backbone)),
        exp_dir=absolute(config.exp_dir),
        heads_dir=absolute(config.heads_dir),
        heads=tuple(head.absolute() for head in config.heads),
        controller=absolute(config.controller),
    )
