"""Makes utterances of several digits from prepared single digits: those of one speaker and split, joined by silence.

Every recording is part of one utterance, at its own sampling rate and bit by bit. `hra prepare cuts` reads the result.
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.cut import Cut

from hra_cli.data.task_index import TaskIndex, load_tasks
from hra_cli.errors import HraError
from hra_cli.io.files import replacing

SILENCE = (0.1, 0.3)  # seconds between two digits


@dataclass(frozen=True)
class Utterance:
    """One utterance to make. There is a silence, in seconds, after each digit but the last."""

    id: str
    task: str
    split: str
    digits: list[Cut]
    silences: list[float]

    @property
    def custom(self) -> dict:
        return {"task": self.task, "split": self.split, "digits": [digit.id for digit in self.digits]}


def plan(index: TaskIndex, lengths: tuple[int, int], train_per_speaker: int | None, seed: int) -> list[Utterance]:
    """All utterances; those of a speaker and split depend on the seed and on that speaker's recordings only."""
    planned = []
    for task in index.names:
        for split in index.splits(task):
            random = Random(f"{seed} {task} {split}")
            digits = sorted(index.cuts(task, split), key=lambda cut: cut.id)
            random.shuffle(digits)
            if lengths == (1, 1):
                digits = in_rounds(digits)
            for number, group in enumerate(grouped(digits, lengths, random)):
                silences = [random.uniform(*SILENCE) for _ in group[1:]]
                # What training leaves over has not been seen, and a test set cannot have too many words.
                left_over = split == "train" and train_per_speaker is not None and number >= train_per_speaker
                used_as = "test" if left_over else split
                planned.append(Utterance(f"{task}-{split}-{number:04d}", task, used_as, group, silences))
    return planned


def grouped(digits: list[Cut], lengths: tuple[int, int], random: Random) -> list[list[Cut]]:
    """Cuts the sequence into groups as long as `lengths` allow. Raises HraError where there is no way to."""
    shortest, longest = lengths

    def possible(size: int) -> bool:
        return -(-size // longest) * shortest <= size

    if not possible(len(digits)):
        raise HraError(
            f"{len(digits)} recordings such as {digits[0].id} do not make groups of {shortest} to {longest}; "
            "choose other --digits"
        )
    groups, start = [], 0
    while start < len(digits):
        rest = len(digits) - start
        size = random.choice([size for size in range(shortest, longest + 1) if size <= rest and possible(rest - size)])
        groups.append(digits[start : start + size])
        start += size
    return groups


def in_rounds(digits: list[Cut]) -> list[Cut]:
    """The same in another order: every word once, then every word a second time, and so on."""
    seen: collections.Counter = collections.Counter()
    rounds = []
    for digit in digits:
        text = digit.supervisions[0].text
        rounds.append((seen[text], digit))
        seen[text] += 1
    return [digit for _, digit in sorted(rounds, key=lambda pair: pair[0])]


def make(utterance: Utterance, audio_dir: Path) -> MonoCut:
    """Writes one utterance as a 16-bit WAV file."""
    # The prepared cuts are resampled; the files are as they were recorded.
    parts = [Recording.from_file(source_file(digit)).to_cut() for digit in utterance.digits]
    joined = parts[0]
    for silence, part in zip(utterance.silences, parts[1:]):
        joined = joined.pad(num_samples=joined.num_samples + round(silence * joined.sampling_rate)).append(part)
    path = audio_dir / f"{utterance.id}.wav"
    samples = np.clip(np.round(joined.load_audio()[0] * 32768), -32768, 32767).astype(np.int16)
    with replacing(path) as temporary:
        soundfile.write(temporary, samples, joined.sampling_rate, subtype="PCM_16")

    first = utterance.digits[0].supervisions[0]
    recording = Recording.from_file(path, recording_id=utterance.id)
    supervision = SupervisionSegment(
        id=utterance.id,
        recording_id=utterance.id,
        start=0.0,
        duration=recording.duration,
        text=" ".join(digit.supervisions[0].text for digit in utterance.digits),
        language=first.language,
        speaker=first.speaker,
    )
    return MonoCut(
        id=utterance.id,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
        custom=utterance.custom,
    )


def source_file(cut: Cut) -> Path:
    return Path(cut.recording.sources[0].source)


def connect(
    data: Path, directory: Path, lengths: tuple[int, int] = (3, 5), train_per_speaker: int | None = None, seed: int = 42
) -> CutSet:
    """Makes all utterances and writes `cuts.jsonl.gz` last, so that its presence means that all are there.

    Where it is there already nothing is made again. Raises HraError where it was made with other options.
    """
    directory = directory.resolve()
    planned = plan(load_tasks(data), lengths, train_per_speaker, seed)
    files = collections.Counter(source_file(digit) for utterance in planned for digit in utterance.digits)
    for file, count in files.items():
        if count > 1:
            raise HraError(f"{count} cuts of {data} are of {file}; prepare it with one cut a file, at one speed")
    cuts_path = directory / "cuts.jsonl.gz"
    if cuts_path.exists():
        cuts = CutSet.from_file(cuts_path).to_eager()
        if {cut.id: cut.custom for cut in cuts} != {utterance.id: utterance.custom for utterance in planned}:
            raise HraError(f"{cuts_path} was made with other options; remove {directory} or choose another")
        return cuts

    cuts = CutSet.from_cuts(make(utterance, directory / "audio") for utterance in planned)
    with replacing(cuts_path) as temporary:
        cuts.to_file(temporary)
    return cuts.to_eager()


def parse_arguments() -> argparse.Namespace:
    def lengths(text: str) -> tuple[int, int]:
        match = re.fullmatch(r"([1-9][0-9]*)-([1-9][0-9]*)", text)
        if match is None or int(match[1]) > int(match[2]):
            raise argparse.ArgumentTypeError(f"{text!r} is not a range such as 3-5")
        return int(match[1]), int(match[2])

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="single digits that `hra prepare` has written")
    parser.add_argument("output_dir", type=Path, help="holds audio/ and cuts.jsonl.gz afterwards")
    parser.add_argument(
        "--digits", type=lengths, default=(3, 5), metavar="MIN-MAX", help="in an utterance (default: 3-5)"
    )
    parser.add_argument(
        "--train-per-speaker",
        type=int,
        metavar="N",
        help="train on a speaker's first N utterances, test on the others too",
    )
    parser.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.train_per_speaker is not None and arguments.train_per_speaker < 1:
        parser.error("--train-per-speaker must be at least 1")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    try:
        cuts = connect(
            arguments.data, arguments.output_dir, arguments.digits, arguments.train_per_speaker, arguments.seed
        )
    except HraError as error:
        print(f"connected_digits.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    words = sum(len(cut.supervisions[0].text.split()) for cut in cuts)
    minutes = sum(cut.duration for cut in cuts) / 60
    print(f"{arguments.output_dir}: {len(cuts)} utterances, {words} words, {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
