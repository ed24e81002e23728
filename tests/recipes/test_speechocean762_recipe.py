"""The whole recipe, on real children's digits and for one epoch: that its stages fit together, whichever way the corpus
is laid out."""

import json
import shutil

import pytest
from clones import committed
from recordings import write_wav

from hra_cli.scoring.bootstrap import wer_difference
from hra_cli.scoring.results import read_recogs
from hra_cli.scoring.wer import score

TRAIN = "--max-duration 60 --num-epochs 1 --rnnt-type modified\n"
COMPARE = "--max-duration 20 --num-epochs 1 --rnnt-type modified --lrs 0.05 --modes single --methods "
CONF = {
    "train": f"--hidden 8 {TRAIN}",
    "onboard": TRAIN,
    "methods": f"{COMPARE} lora:1,hra-linear:8",
}
# Three in each fold, since dev takes one.
TRAINED_ON = ("0026", "0053", "0070", "1092", "1203", "2179")
TESTED_ON = ("0003", "1076")


def lines_of(file, ids):
    return [line for line in file.read_text().splitlines(keepends=True) if line.split()[0] in ids]


@pytest.fixture
def corpus(shared, tmp_path):
    """Some speakers, with WAVE beside train and test as in the public repository."""
    folder = tmp_path / "corpus"
    for split, speakers in (("train", TRAINED_ON), ("test", TESTED_ON)):
        source = shared / "data" / "speechocean762-digits" / split
        (folder / split).mkdir(parents=True)
        ids = {line.split()[0] for line in (source / "utt2spk").read_text().splitlines() if line.split()[1] in speakers}
        for name in ("text", "wav.scp", "utt2spk"):
            (folder / split / name).write_text("".join(lines_of(source / name, ids)))
        for name in ("spk2age", "spk2gender"):
            (folder / split / name).write_text("".join(lines_of(source / name, speakers)))
        for speaker in speakers:
            shutil.copytree(source / "WAVE" / f"SPEAKER{speaker}", folder / "WAVE" / f"SPEAKER{speaker}")
    return folder


def scores(folder):
    return json.loads((folder / "wer.json").read_text())


@pytest.mark.takes_minutes
def test_every_stage_leaves_what_the_next_one_needs(corpus, clone, tmp_path):
    conf = tmp_path / "conf"
    conf.mkdir()
    for name, options in CONF.items():
        (conf / f"{name}.conf").write_text(options)
    exp = tmp_path / "exp"
    options = [
        "--corpus-url", committed(corpus), "--data", tmp_path / "data", "--exp", exp, "--conf", conf, "--ages", "6,12",
        "--speaker-utterances", "5", "--seeds", "1", "--folds", "2", "--num-jobs", "1",
    ]  # fmt: skip
    done = clone.run("speechocean762", *options)
    assert done.returncode == 0, done.stderr
    assert not list(exp.glob("compare*"))
    assert scores(exp / "everyone-1")["total"]["words"] == scores(exp / "frozen-everyone")["total"]["words"] == 33
    assert list(scores(exp / "bands-1")["tasks"]) == ["7-to-12", "up-to-6"]
    assert scores(exp / "bands-1")["total"]["words"] == 33
    # Only this speaker has five utterances; two are to test on.
    assert list(scores(exp / "speakers-1")["tasks"]) == ["0003"]
    results = (exp / "RESULTS.md").read_text()
    first_cells = [line.split(" | ")[0] for line in results.splitlines() if line.startswith("| ")]
    decodings = ["frozen-everyone", "everyone-1", "frozen-bands", "bands-1", "frozen-speakers", "speakers-1"]
    assert [cell[2:] for cell in first_cells if "-" in cell] == [*decodings, "bands-1", "everyone-1", "speakers-1"]

    for stage in ("7", "9"):  # 8 is 7 with other methods
        done = clone.run("speechocean762", *options, "--stage", stage, "--stop-stage", stage)
        assert done.returncode == 0, done.stderr
    tables = (exp / "RESULTS.md").read_text()
    assert set(results.splitlines()[4:]) < set(tables.splitlines())
    assert tables.count("| HRA linear, H=8 | single | 1 | 0.05 |") == 1
    parts = [*sorted((exp / "folds").glob("fold-?")), exp / "compare-methods"]
    lora, hra = (
        [one for part in parts for one in recognised(part / "cells" / f"{cell}-single-lr0.05-seed1")]
        for cell in ("lora-1", "hra-linear-8")
    )
    # Every utterance of the corpus once, of train in a fold and of test.
    assert len({one.id for one in lora}) == len(lora) == 30 + 8
    difference, low, high = wer_difference([hra], [lora])
    wer = score(hra).total.wer
    row = (
        f"| HRA linear, H=8 | 1 | 2,736 | {wer:.1f} | {wer:.1f} – {wer:.1f} "
        f"| {difference:+.1f} | {low:+.1f} to {high:+.1f} |"
    )
    assert row in tables.splitlines()
    assert clone.status() == ""


def recognised(folder):
    return read_recogs(folder / "recogs-test-greedy_search.txt")


def test_stage_0_clones_the_corpus_once(clone, tmp_path):
    write_wav(tmp_path / "corpus" / "WAVE" / "SPEAKER0001" / "000010011.WAV", seconds=0.3)
    repository = committed(tmp_path / "corpus")
    stage_0 = ["--stage", "0", "--stop-stage", "0"]
    done = clone.run("speechocean762", *stage_0, "--corpus-url", repository)
    assert done.returncode == 0, done.stderr
    data = clone.directory / "recipes" / "speechocean762" / "data"
    assert (data / "speechocean762" / "WAVE" / "SPEAKER0001" / "000010011.WAV").is_file()
    assert [path.name for path in data.iterdir()] == ["speechocean762"]

    again = clone.run("speechocean762", *stage_0, "--corpus-url", "/nowhere")
    assert again.returncode == 0, again.stderr
    assert clone.status() == ""


def test_pointers_in_place_of_audio_are_no_corpus(clone, tmp_path):
    pointer = tmp_path / "corpus" / "WAVE" / "000010011.WAV"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 86000\n")
    done = clone.run("speechocean762", "--corpus-url", committed(tmp_path / "corpus"), "--data", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "000010011.WAV is a pointer of git-lfs; install git-lfs and try again, or" in done.stderr
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corpus-url", "/nowhere"], "cannot clone /nowhere (fatal: "),
        (["--all", "true"], "knows digits and commands only; give another with --backbone"),
        (["--all", "yes"], "--all is true or false, not 'yes'"),
        (["--folds", "some"], "--folds is a number, not 'some'"),
        (["--stage", "5"], "tables/bands is missing; run stage 1"),
        (["--corpus", "/nowhere"], "/nowhere/train/utt2spk"),
    ],
)
def test_a_mistake_is_one_line(clone, options, message):
    done = clone.run("speechocean762", *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
