"""Who is trained and tested on in recipes/speechocean762."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "recipes" / "speechocean762" / "local" / "tables.py"
# Speaker, age, and what they say in train and in test.
TRAIN = [("ann", 6, 7), ("bob", 12, 5), ("cid", 13, 10), ("dan", 43, 1), ("eve", 9, 6)]
TEST = [("fay", 6, 2), ("gil", 30, 4)]


def write_corpus(folder, train=TRAIN, test=TEST):
    for split, speakers in (("train", train), ("test", test)):
        ids = [(f"{name}-{number}", name) for name, _, count in speakers for number in range(count)]
        lines = {
            "text": [f"{id_} NINE ZERO" for id_, _ in ids]
            + [f"{name}-bear WE CALL IT BEAR" for name, _, _ in speakers],
            "utt2spk": [*(f"{id_}\t{name}" for id_, name in ids), *(f"{name}-bear\t{name}" for name, _, _ in speakers)],
            "spk2age": [f"{name} {age}" for name, age, _ in speakers],
        }
        (folder / split).mkdir(parents=True)
        for file, content in lines.items():
            (folder / split / file).write_text("\n".join(content) + "\n")
    return folder


def run(corpus, directory, *options):
    command = [sys.executable, str(SCRIPT), str(corpus), str(directory), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def written(directory):
    return {file.name: dict(line.split(" ") for line in file.read_text().splitlines()) for file in directory.iterdir()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tables(corpus, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tables")
    done = run(corpus, directory, "--folds", "2", "--speaker-utterances", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ages up-to-12: 18 utterances to train on, 2 to test on",
        "ages from-13: 11 utterances to train on, 4 to test on",
        "1 of 2 test speakers have 4 utterances",
    ]
    return written(directory)


def test_only_digits_are_used_unless_all_are_asked_for(corpus, tables, tmp_path):
    digits = {f"{name}-{number}" for name, _, count in TRAIN + TEST for number in range(count)}
    assert tables["everyone"] == dict.fromkeys(digits, "everyone")
    assert run(corpus, tmp_path, "--all").returncode == 0
    others = {f"{name}-bear" for name, _, _ in TRAIN + TEST}
    assert written(tmp_path)["everyone"] == dict.fromkeys(digits | others, "everyone")


def test_children_are_up_to_12_and_all_others_adults(tables):
    of_speaker = {id_.split("-")[0]: band for id_, band in tables["bands"].items()}
    children, adults = dict.fromkeys(("ann", "bob", "eve", "fay"), "up-to-12"), dict.fromkeys(("cid", "dan", "gil"))
    assert of_speaker == {**children, **dict.fromkeys(adults, "from-13")}
    assert len(tables["bands"]) == len(tables["everyone"])


def test_a_band_with_too_little_is_named_and_left_out(corpus, tmp_path):
    done = run(corpus, tmp_path, "--ages", "6,8,12")
    assert done.stdout.splitlines()[:3] == [
        "ages up-to-6: 7 utterances to train on, 2 to test on; left out",
        "ages 9-to-12: 11 utterances to train on, 0 to test on; left out",
        "ages from-13: 11 utterances to train on, 4 to test on",
    ]
    assert set(written(tmp_path)["bands"].values()) == {"from-13"}


def test_a_speaker_with_enough_utterances_is_a_task(tables):
    assert tables["speakers"] == {f"gil-{number}": "gil" for number in range(4)}


def test_each_training_speaker_is_tested_in_one_fold_and_trained_on_in_the_others(tables):
    folds = [tables["fold-1"], tables["fold-2"]]
    training = {id_ for id_ in tables["everyone"] if id_.split("-")[0] in "ann bob cid dan eve"}
    tested = []
    for fold in folds:
        assert set(fold) == training
        test = {id_.split("-")[0] for id_, split in fold.items() if split == "test"}
        assert not test & {id_.split("-")[0] for id_, split in fold.items() if split == "train"}
        tested.append(test)
    assert tested[0] | tested[1] == {"ann", "bob", "cid", "dan", "eve"}
    assert not tested[0] & tested[1]
    sizes = [list(fold.values()).count("test") for fold in folds]
    assert max(sizes) - min(sizes) <= 2


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"test": [*TEST, ("ann", 6, 3)]}, [], "speaker 'ann' is in train and in test"),
        ({"train": [("ann", "young", 3)]}, [], "the age of 'ann-0', whose speaker is 'ann', is not known"),
        ({"train": [("ann", 6, 0)], "test": [("bob", 7, 0)]}, [], "no utterance is of digits alone"),
        ({}, ["--folds", "6"], "5 training speakers make no 6 folds"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, change, options, message):
    done = run(write_corpus(tmp_path / "corpus", **change), tmp_path / "tables", *options)
    assert done.returncode == 2
    assert done.stderr.startswith("tables.py: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_folder_that_is_no_corpus_is_one_line(tmp_path):
    done = run(tmp_path, tmp_path / "tables")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "train/utt2spk" in done.stderr
    assert "--corpus DIR" in done.stderr


@pytest.mark.parametrize("options", [("--ages", "12,6"), ("--folds", "1"), ("--speaker-utterances", "2")])
def test_options_that_make_no_sense_are_refused(corpus, tmp_path, options):
    done = run(corpus, tmp_path, *options)
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert not list(tmp_path.iterdir())
