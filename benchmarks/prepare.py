"""How the time and memory of `hra prepare` grow with the number of utterances, for each kind of source.

The audio is hard links to a few short recordings, and no features are stored, so that what is measured is all else.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import soundfile
from pairs import machine
from rich.console import Console
from rich.table import Table

from hra_cli.io.files import write_text

SPEAKERS = 100
RECORDINGS = 20  # file systems allow some 65,000 links to a file
SECONDS, RATE = 0.3, 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    table = Table(title=f"hra prepare --on-the-fly, {SPEAKERS} tasks, one process")
    for column in ("source", "utterances", "s", "s of processor", "peak MB"):
        table.add_column(column, justify="right")
    found = []
    for count in arguments.utterances:
        with tempfile.TemporaryDirectory() as folder:
            utterances = list(make_audio(Path(folder) / "audio", count))
            for name in arguments.sources:
                given = SOURCES[name](Path(folder), utterances)
                # In a process of its own, whose children are those of this source.
                with get_context("spawn").Pool(1) as pool:
                    cost = pool.apply(measured, ([*map(str, given), "--output-dir", f"{folder}/data-{name}"],))
                found.append({"source": name, "utterances": count, **cost})
                row = (f"{cost['seconds']:.0f}", f"{cost['processor_seconds']:.0f}", f"{cost['peak_mb']:,.0f}")
                table.add_row(name, f"{count:,}", *row)
    Console(width=120).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "sources": found}, indent=2) + "\n")


def make_audio(folder: Path, count: int) -> Iterator[tuple[str, str]]:
    """(id, speaker) of every utterance, whose audio is `folder/ID.wav`."""
    folder.mkdir()
    for number in range(RECORDINGS):
        noise = np.random.default_rng(number).normal(0, 0.1, round(SECONDS * RATE))
        soundfile.write(folder / f"recording-{number}.wav", noise, RATE, "PCM_16")
    for number in range(count):
        speaker = f"s{number % SPEAKERS:03d}"
        id_ = f"{speaker}-{number:06d}"
        os.link(folder / f"recording-{number % RECORDINGS}.wav", folder / f"{id_}.wav")
        yield id_, speaker


def kaldi(folder: Path, utterances: list[tuple[str, str]]) -> list[object]:
    """The arguments of `hra prepare`, as all of these functions give them."""
    lists = folder / "kaldi"
    lists.mkdir()
    for name, line in (
        ("wav.scp", lambda id_, _: f"audio/{id_}.wav"),
        ("text", lambda *_: "ONE TWO THREE"),
        ("utt2spk", lambda _, speaker: speaker),
    ):
        write_text(lists / name, "".join(f"{id_} {line(id_, speaker)}\n" for id_, speaker in utterances))
    return ["kaldi", lists]


def segments(folder: Path, utterances: list[tuple[str, str]]) -> list[object]:
    """Kaldi's, of recordings of a hundred utterances each."""
    lists = folder / "segments"
    lists.mkdir()
    hundred, step = 100, SECONDS
    lines = []
    for number, (id_, _) in enumerate(utterances):
        place, within = divmod(number, hundred)
        lines.append(f"{id_} r{place} {step * within:.2f} {step * (within + 1):.2f}\n")
        if not within:
            noise = np.random.default_rng(place).normal(0, 0.1, round(step * hundred * RATE))
            soundfile.write(lists / f"r{place}.wav", noise, RATE, "PCM_16")
    write_text(lists / "segments", "".join(lines))
    write_text(lists / "wav.scp", "".join(f"r{place} r{place}.wav\n" for place in range(-(-len(lines) // hundred))))
    write_text(lists / "text", "".join(f"{id_} ONE TWO THREE\n" for id_, _ in utterances))
    write_text(lists / "utt2spk", "".join(f"{id_} {speaker}\n" for id_, speaker in utterances))
    return ["kaldi", lists]


def table(folder: Path, utterances: list[tuple[str, str]]) -> list[object]:
    """With ten more columns, as Common Voice has them."""
    file = folder / "table.csv"
    more = [f"column{number}" for number in range(10)]
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "words", "speaker", *more])
        writer.writerows([f"{id_}.wav", "ONE TWO THREE", speaker, *more] for id_, speaker in utterances)
    return ["table", file, "--audio", "file", "--text", "words", "--audio-dir", folder / "audio"]


SOURCES: dict[str, Callable[[Path, list[tuple[str, str]]], list[object]]] = {
    "kaldi": kaldi,
    "segments": segments,
    "table": table,
}


def measured(arguments: list[str]) -> dict[str, Any]:
    """The cost of one `hra prepare`. Only where no other child process has run: the peak is that of all of them."""

    start = perf_counter()
    command = [sys.executable, "-m", "hra_cli", "prepare", *arguments, "--on-the-fly", "--num-jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1000,
    }


if __name__ == "__main__":
    main()
