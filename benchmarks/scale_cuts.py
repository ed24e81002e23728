"""The part `cuts` of scale.py: the memory of `hra prepare --on-the-fly` and of the start of training, by cuts.

Cuts are half-second stretches of one recording, of a thousand tasks; every one of them has its audio read once by
`hra prepare`. The start of training is all that comes before its first step, and three batches.

    python benchmarks/scale_cuts.py DATA --backbone BACKBONE    # that start, alone, in a process of its own
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy
import soundfile
from lhotse import Recording
from models import SMALL
from scale_work import hra, timed

SECONDS, EVERY, TASKS, STRETCHES = 0.5, 0.1, 1000, 5000
RATE = 16_000
WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN")


def cuts(folder: Path, count: int) -> dict[str, Any]:
    """What so many cuts cost, in seconds and megabytes at the peak; what is in `folder` from earlier is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, data = folder / f"{count}.jsonl.gz", folder / f"data-{count}"
    if not manifest.exists():
        write_manifest(manifest, count)
    prepared = hra(
        "prepare", "cuts", manifest, "--task-by", "custom.task", "--split-by", "custom.split", "--on-the-fly",
        "--backbone", SMALL, "--output-dir", data,
    )  # fmt: skip
    started = timed([sys.executable, __file__, str(data)])
    return {"cuts": count, "prepare": asdict(prepared), "start": asdict(started)}


def write_manifest(file: Path, count: int) -> None:
    """A manifest of so many cuts, of a recording beside it."""
    audio = file.with_name("noise.wav")
    if not audio.exists():
        noise = numpy.random.default_rng(0).normal(0, 0.1, round((STRETCHES * EVERY + SECONDS) * RATE))
        soundfile.write(audio, noise, RATE, subtype="PCM_16")
    recording = Recording.from_file(audio).to_dict()
    unfinished = file.with_name(f".{file.name}")
    with gzip.open(unfinished, "wt", compresslevel=1) as stream:
        for cut in contents(recording, count):
            stream.write(json.dumps(cut) + "\n")
    unfinished.rename(file)


def contents(recording: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """What `MonoCut.to_dict` gives of each: one in a thousand is of dev, one of test."""
    for number in range(count):
        name = f"cut-{number:08d}"
        text = f"{WORDS[number % 7]} {WORDS[number // 7 % 7]}"
        supervision = {
            "id": name, "recording_id": recording["id"], "start": 0.0, "duration": SECONDS, "channel": 0, "text": text,
        }  # fmt: skip
        split = {1: "dev", 2: "test"}.get(number // TASKS % 1000, "train")
        yield {
            "id": name, "start": round(number % STRETCHES * EVERY, 3), "duration": SECONDS, "channel": 0,
            "supervisions": [supervision], "recording": recording, "type": "MonoCut",
            "custom": {"task": f"task-{number % TASKS:03d}", "split": split},
        }  # fmt: skip


def start(data: Path, max_duration: float) -> None:
    """Everything before the first step of training, and three batches."""
    from hra_cli.backbone.model import load_backbone
    from hra_cli.data.batch_plan import training_batches
    from hra_cli.data.batches import load_batches
    from hra_cli.data.find_tokenizer import load_tokenizer
    from hra_cli.experiment.config import TrainConfig
    from hra_cli.training.training_data import load_training_data

    config = TrainConfig(backbone=str(SMALL), data=str(data), max_duration=max_duration)
    begun = perf_counter()
    training = load_training_data(config, load_backbone(SMALL), load_tokenizer(SMALL))
    read = perf_counter()
    plan = training_batches(training.train, max_duration, 1, 0)
    planned = perf_counter()
    for _ in load_batches(plan[:3]):
        pass
    print(f"{len(training.train)} cuts read in {read - begun:.0f} s")
    print(f"{len(plan)} batches planned in {planned - read:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--max-duration", type=float, default=100.0)
    arguments = parser.parse_args()
    start(arguments.data, arguments.max_duration)
