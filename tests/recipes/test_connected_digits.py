from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import warm
from lhotse import CutSet, validate
from recordings import make_cut, write_wav

from hra_cli.data.corpora.fsdd import DIGITS
from hra_cli.data.preparation import prepare

SCRIPT = Path(__file__).parents[2] / "recipes" / "fsdd" / "local" / "connected_digits.py"
SPEAKERS = ("ann", "bob")
# 7 is 3 + 4 only; the others leave a choice.
SIZES = {"train": 23, "dev": 7, "test": 11}
RATE = 8000


def connect(data, directory, *options):
    return warm.run(SCRIPT, data, directory, *options, code=warm.FILE)


def read(directory):
    return CutSet.from_file(directory / "cuts.jsonl.gz").to_eager()


def of(cuts, speaker, split):
    return [cut for cut in cuts if cut.custom["task"] == speaker and cut.custom["split"] == split]


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*.wav")}


def prepare_digits(directory, sizes):
    cuts = []
    for speaker in SPEAKERS:
        for split, size in sizes.items():
            for number in range(size):
                path = directory / "wav" / f"{speaker}-{split}-{number}.wav"
                write_wav(path, seconds=0.1 + 0.01 * number, rate=RATE, seed=len(cuts))
                cut = make_cut(path, text=DIGITS[number % 10], speaker=speaker)
                cut.custom = {"task": speaker, "split": split}
                cuts.append(cut)
    prepare(CutSet.from_cuts(cuts), directory / "data", {}, num_jobs=1, on_the_fly=True)
    return directory / "data"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("digits"), SIZES)


@pytest.fixture(scope="module")
def connected(digits, tmp_path_factory):
    directory = tmp_path_factory.mktemp("connected")
    done = connect(digits, directory)
    assert done.returncode == 0, done.stderr
    assert f"utterances, {2 * sum(SIZES.values())} words" in done.stdout
    return directory


def test_every_recording_is_in_one_utterance_of_its_speaker_and_split(digits, connected):
    cuts = read(connected)
    for speaker in SPEAKERS:
        for split in SIZES:
            used = [name for cut in of(cuts, speaker, split) for name in cut.custom["digits"]]
            there = [cut.id for cut in of(read(digits), speaker, split)]
            assert Counter(used) == Counter(there)
            assert used != sorted(used)


def test_utterances_have_three_to_five_words_those_of_their_recordings(digits, connected):
    words = {cut.id: cut.supervisions[0].text for cut in read(digits)}
    for cut in read(connected):
        (supervision,) = cut.supervisions
        assert 3 <= len(cut.custom["digits"]) <= 5
        assert supervision.text.split() == [words[name] for name in cut.custom["digits"]]
        assert supervision.speaker == cut.custom["task"]


def test_cuts_are_valid_and_named_by_speaker_and_split(connected):
    cuts = read(connected)
    validate(cuts, read_data=True)
    assert len(set(cuts.ids)) == len(cuts)
    for speaker in SPEAKERS:
        for split in SIZES:
            names = [cut.recording_id for cut in of(cuts, speaker, split)]
            assert names == [f"{speaker}-{split}-{number:04d}" for number in range(len(names))]
    assert all(Path(cut.recording.sources[0].source).is_absolute() for cut in cuts)


def test_audio_is_the_recordings_with_silence_between(digits, connected):
    files = {cut.id: cut.recording.sources[0].source for cut in read(digits)}
    silences = []
    for cut in read(connected):
        rest, rate = soundfile.read(cut.recording.sources[0].source, dtype="int16")
        assert rate == RATE
        for position, name in enumerate(cut.custom["digits"]):
            if position > 0:
                silence = int(np.flatnonzero(rest)[0])
                silences.append(silence / RATE)
                rest = rest[silence:]
            recorded, _ = soundfile.read(files[name], dtype="int16")
            np.testing.assert_array_equal(rest[: len(recorded)], recorded)
            rest = rest[len(recorded) :]
        assert len(rest) == 0
    assert 0.1 <= min(silences) < 0.15
    assert 0.25 < max(silences) <= 0.3


def test_the_same_seed_gives_the_same_bytes(digits, connected, tmp_path):
    assert connect(digits, tmp_path / "again").returncode == 0
    assert contents(tmp_path / "again") == contents(connected)
    assert [cut.supervisions for cut in read(tmp_path / "again")] == [cut.supervisions for cut in read(connected)]

    assert connect(digits, tmp_path / "other", "--seed", "7").returncode == 0
    assert contents(tmp_path / "other") != contents(connected)


def test_what_is_not_trained_on_is_tested_on(digits, connected, tmp_path):
    assert connect(digits, tmp_path, "--train-per-speaker", "2").returncode == 0
    everything = read(connected)
    for speaker in SPEAKERS:
        before = {split: [cut.id for cut in of(everything, speaker, split)] for split in SIZES}
        now = {split: [cut.id for cut in of(read(tmp_path), speaker, split)] for split in SIZES}
        left_over = before["train"][2:]
        assert left_over
        assert now["train"] == before["train"][:2]
        assert now["test"] == left_over + before["test"]
        assert now["dev"] == before["dev"]
    assert contents(tmp_path) == contents(connected)


def test_single_digits_come_in_rounds_of_every_word(digits, tmp_path):
    assert connect(digits, tmp_path, "--digits", "1-1", "--train-per-speaker", "20").returncode == 0
    for speaker in SPEAKERS:
        words = [cut.supervisions[0].text for cut in of(read(tmp_path), speaker, "train")]
        assert sorted(words[:10]) == sorted(words[10:]) == sorted(DIGITS)


def test_what_is_complete_is_left_alone_and_other_options_are_refused(digits, connected):
    before = {path: path.stat().st_mtime_ns for path in connected.rglob("*.*")}
    assert connect(digits, connected).returncode == 0
    done = connect(digits, connected, "--seed", "7")
    assert done.returncode == 2
    assert "made with other options" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in connected.rglob("*.*")} == before


def test_too_few_recordings_are_one_line_and_leave_nothing(tmp_path):
    data = prepare_digits(tmp_path, {"train": 3, "test": 2})
    done = connect(data, tmp_path / "connected")
    assert done.returncode == 2
    assert done.stderr.startswith("connected_digits.py: error: 2 recordings such as ann-test-0 do not make groups")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "connected").exists()


@pytest.mark.parametrize("lengths", ["5-3", "0-2", "3"])
def test_a_range_that_is_none_is_refused(lengths, tmp_path):
    done = connect(tmp_path, tmp_path / "connected", "--digits", lengths)
    assert done.returncode == 2
    assert f"'{lengths}' is not a range" in done.stderr
