"""Writes which utterances of speechocean762 are used, and as what, for --task-by file:FILE and --split-by file:FILE of
`hra prepare kaldi`, from the two data folders of the corpus, train and test:

    everyone  one task of every utterance
    bands     a task per band of ages, where both data folders have enough of it
    speakers  a task per speaker of test who has enough utterances
    fold-1 …  the splits of the training utterances, leave-some-out: each is test, with all of its speaker's, in one

A line is `utterance value`. An utterance is used where all of its words are digits that the recogniser of
recipes/accents knows, and with --all whatever its words are.
"""

from __future__ import annotations

import argparse
import collections
import sys
from dataclasses import dataclass
from pathlib import Path

from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.io.text_lines import text_lines

DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SPLITS = ("train", "test")
# A band needs as many utterances to train on, and one to test on.
BAND_UTTERANCES = 10


@dataclass(frozen=True)
class Spoken:
    """One utterance of the corpus."""

    id: str
    split: str
    speaker: str
    age: int
    words: int


def read_corpus(corpus: Path, every_text: bool) -> list[Spoken]:
    """What is used of the corpus. Raises HraError where a file is missing or says nothing usable of an utterance."""
    found = []
    for split in SPLITS:
        folder = corpus / split
        speakers, ages = read_lines(folder / "utt2spk"), read_lines(folder / "spk2age")
        for id_, text in read_lines(folder / "text").items():
            words = text.upper().split()
            if not every_text and not all(word in DIGITS for word in words):
                continue
            speaker = speakers.get(id_, "")
            age = ages.get(speaker, "")
            if not age.isdecimal():
                raise HraError(f"{folder}: the age of '{id_}', whose speaker is '{speaker}', is not known; see spk2age")
            found.append(Spoken(id_, split, speaker, int(age), len(words)))
    if not found:
        raise HraError(f"{corpus}: no utterance is of digits alone; --all true takes the others too")
    train, test = ({one.speaker for one in found if one.split == split} for split in SPLITS)
    in_both = train & test
    if in_both:
        raise HraError(f"{corpus}: speaker '{min(in_both)}' is in train and in test; test on speakers of their own")
    return found


def read_lines(file: Path) -> dict[str, str]:
    """What a file of Kaldi's says of each id."""
    lines = text_lines(file, "train/ and test/ of the corpus hold text, utt2spk and spk2age; see --corpus DIR")
    pairs = (line.strip().split(maxsplit=1) for _, line in lines if line.strip())
    return {pair[0]: "".join(pair[1:]) for pair in pairs}


def band_of(age: int, ages: list[int]) -> str:
    """The name of the band that an age is in; `ages` are the highest of each band but the last."""
    lowest = 0
    for highest in ages:
        if age <= highest:
            return f"up-to-{highest}" if lowest == 0 else f"{lowest}-to-{highest}"
        lowest = highest + 1
    return f"from-{lowest}"


def bands(corpus: list[Spoken], ages: list[int]) -> dict[str, str]:
    """The band of every utterance that is in one with enough of them; the others are counted on standard output."""
    of_band: dict[str, list[Spoken]] = collections.defaultdict(list)
    for one in sorted(corpus, key=lambda one: one.age):
        of_band[band_of(one.age, ages)].append(one)
    found = {}
    for band, members in of_band.items():
        train = sum(one.split == "train" for one in members)
        test = len(members) - train
        enough = train >= BAND_UTTERANCES and test > 0
        print(f"ages {band}: {train} utterances to train on, {test} to test on{'' if enough else '; left out'}")
        if enough:
            found.update((one.id, band) for one in members)
    return found


def speakers(corpus: list[Spoken], least: int) -> dict[str, str]:
    """The speaker of every test utterance, where the speaker has at least so many."""
    counts = collections.Counter(one.speaker for one in corpus if one.split == "test")
    print(f"{sum(count >= least for count in counts.values())} of {len(counts)} test speakers have {least} utterances")
    return {one.id: one.speaker for one in corpus if one.split == "test" and counts[one.speaker] >= least}


def folds(corpus: list[Spoken], number: int) -> list[dict[str, str]]:
    """So many splits of the training utterances. All of a speaker are test in one of them and train in the others;
    which one depends on the speakers' numbers of words only, so that all folds test on about as many words."""
    training = [one for one in corpus if one.split == "train"]
    words: collections.Counter[str] = collections.Counter()
    for one in training:
        words[one.speaker] += one.words
    if len(words) < number:
        raise HraError(f"{len(words)} training speakers make no {number} folds; choose fewer --folds")
    tested: list[set[str]] = [set() for _ in range(number)]
    for speaker in sorted(words, key=lambda speaker: (-words[speaker], speaker)):
        min(tested, key=lambda fold: sum(words[one] for one in fold)).add(speaker)
    return [{one.id: "test" if one.speaker in fold else "train" for one in training} for fold in tested]


def write_tables(corpus: list[Spoken], directory: Path, ages: list[int], speaker_utterances: int, number: int) -> None:
    tables = {
        "everyone": {one.id: "everyone" for one in corpus},
        "bands": bands(corpus, ages),
        "speakers": speakers(corpus, speaker_utterances),
        **{f"fold-{fold}": table for fold, table in enumerate(folds(corpus, number), start=1)},
    }
    for name, table in tables.items():
        write_text(directory / name, "".join(f"{id_} {value}\n" for id_, value in table.items()))


def parse_arguments() -> argparse.Namespace:
    def ages(text: str) -> list[int]:
        found = [int(age) if age.isdecimal() else 0 for age in text.split(",")]
        if found[0] < 1 or any(age >= later for age, later in zip(found, found[1:])):
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of rising ages such as 6,12")
        return found

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="holds train/ and test/")
    parser.add_argument("output_dir", type=Path, help="holds the tables afterwards")
    parser.add_argument("--all", action="store_true", help="use utterances of any words, not of digits only")
    parser.add_argument("--ages", type=ages, default=[12], help="the highest of each band but the last (default: 12)")
    parser.add_argument(
        "--speaker-utterances", type=int, default=20, help="that make a speaker a task (default: %(default)s)"
    )
    parser.add_argument("--folds", type=int, default=4, help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.folds < 2:
        parser.error("--folds must be at least 2")
    if arguments.speaker_utterances < 3:
        parser.error("--speaker-utterances must be at least 3: one to train on, one for dev, one to test on")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    try:
        corpus = read_corpus(arguments.corpus, arguments.all)
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        write_tables(corpus, arguments.output_dir, arguments.ages, arguments.speaker_utterances, arguments.folds)
    except HraError as error:
        print(f"tables.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
