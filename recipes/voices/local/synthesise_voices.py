#!/usr/bin/env python3
"""Makes speech of synthetic speakers with atypical traits, by eSpeak NG and signal processing.

Digit strings and household commands, as in recipes/accents. No text is in two splits, whoever speaks it.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from lhotse import CutSet
from traits import Traits, draw_traits, resampled, spoken_with

from hra_cli.errors import HraError
from hra_cli.io.files import replacing, write_text

sys.path.insert(0, str(Path(__file__).parents[2] / "accents" / "local"))
from synthesise import Espeak, as_cut, draw_text

RATE = 16000
VOLUME = 50  # at which none of the voices is clipped
PEAK = 0.7
# The parts of all possible texts that are each split's.
SPLIT_SHARES = {"train": 0.6, "dev": 0.12, "test": 0.28}


@dataclass(frozen=True)
class Line:
    """One utterance to speak."""

    id: str
    split: str
    text: str


def plan(name: str, sizes: dict[str, int], seed: int) -> list[Line]:
    """The utterances of one speaker, no text twice; those of a split are the same whatever the sizes of others."""
    random = Random(f"{seed} {name} texts")
    texts: dict[str, dict[str, None]] = {split: {} for split in sizes}  # sets that keep their order
    while any(len(texts[split]) < size for split, size in sizes.items()):
        text = draw_text(random)
        split = split_of(text)
        if len(texts[split]) < sizes[split]:
            texts[split][text] = None
    return [
        Line(f"{name}-{split}-{number:03d}", split, text) for split in sizes for number, text in enumerate(texts[split])
    ]


def split_of(text: str) -> str:
    """The one split that a text is in: by its digest, for all speakers alike."""
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    for split, share in SPLIT_SHARES.items():
        place -= share
        if place < 0:
            return split
    return split


def speak_lines(traits: Traits, lines: list[Line], directory: Path) -> None:
    """Writes one speaker's utterances as FLAC files. Must run in a process of its own, see `Espeak`."""
    espeak = Espeak()
    folder = directory / "audio" / traits.name
    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        # In capitals eSpeak would spell some words out.
        samples = espeak.speak(
            traits.voice, line.text.lower(), traits.rate, traits.pitch, traits.pitch_range, volume=VOLUME
        )
        speech = spoken_with(samples, espeak.sampling_rate, traits, line.id)
        speech = resampled(speech, RATE / espeak.sampling_rate)
        levelled = np.round(speech * (PEAK * 32767 / np.abs(speech).max())).astype(np.int16)
        soundfile.write(audio_file(directory, traits, line), levelled, RATE, subtype="PCM_16")


def audio_file(directory: Path, traits: Traits, line: Line) -> Path:
    return directory / "audio" / traits.name / f"{line.id}.flac"


def synthesise(directory: Path, speakers: int, sizes: dict[str, int], seed: int, jobs: int) -> CutSet:
    """Speaks all utterances, and writes traits.jsonl and then `cuts.jsonl.gz`, whose presence means that all are there.

    Where it is there already nothing is spoken again. Raises HraError where it was made with other options.
    """
    directory = directory.resolve()
    everyone = [draw_traits(number, seed) for number in range(speakers)]
    lines = {traits.name: plan(traits.name, sizes, seed) for traits in everyone}
    table = "".join(json.dumps(dataclasses.asdict(traits)) + "\n" for traits in everyone)
    table_path, cuts_path = directory / "traits.jsonl", directory / "cuts.jsonl.gz"
    if cuts_path.exists():
        cuts = CutSet.from_file(cuts_path).to_eager()
        there = {cut.id: cut.supervisions[0].text for cut in cuts}
        wanted = {line.id: line.text for of_speaker in lines.values() for line in of_speaker}
        if there != wanted or not table_path.is_file() or table_path.read_text() != table:
            raise HraError(f"{cuts_path} was made with other options; remove {directory} or choose another")
        return cuts

    # A process speaks as one speaker only, which makes speech independent of the other speakers; forked, it has not to
    # import everything again.
    with multiprocessing.get_context("fork").Pool(min(jobs, speakers), maxtasksperchild=1) as pool:
        todo = [(traits, lines[traits.name], directory) for traits in everyone]
        pool.starmap(speak_lines, todo, chunksize=1)
    cuts = CutSet.from_cuts(
        as_cut(audio_file(directory, traits, line), line.id, line.text, traits.name, {"split": line.split})
        for traits in everyone
        for line in lines[traits.name]
    )
    write_text(table_path, table)
    with replacing(cuts_path) as temporary:
        cuts.to_file(temporary)
    return cuts


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output-dir", type=Path, required=True, help="holds audio/, traits.jsonl and cuts.jsonl.gz afterwards"
    )
    parser.add_argument("--speakers", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument("--train", type=int, default=20, help="utterances per speaker (default: %(default)s)")
    parser.add_argument("--dev", type=int, default=4, help="utterances per speaker (default: %(default)s)")
    parser.add_argument("--test", type=int, default=10, help="utterances per speaker (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    parser.add_argument("--num-jobs", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args()
    for name in ("speakers", "train", "dev", "test", "num_jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.speakers > 999:
        parser.error("--speakers must be at most 999")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    sizes = {"train": arguments.train, "dev": arguments.dev, "test": arguments.test}
    started = time.monotonic()
    try:
        cuts = synthesise(arguments.output_dir, arguments.speakers, sizes, arguments.seed, arguments.num_jobs)
    except HraError as error:
        print(f"synthesise_voices.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    minutes = sum(cut.duration for cut in cuts) / 60
    print(
        f"{arguments.output_dir}: {len(cuts)} utterances, {arguments.speakers} speakers, {minutes:.1f} minutes, in "
        f"{time.monotonic() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
