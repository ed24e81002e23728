"""The whole recipe, on a corner of the corpus and for one epoch: that its stages fit together."""

import json
import shutil
from pathlib import Path

import pytest
from clones import committed
from recordings import write_wav

RECIPE = Path(__file__).parents[2] / "recipes" / "fsdd"
SPEAKERS = ("jackson", "nicolas", "theo")
TRAIN = "--max-duration 15 --num-epochs 1 --rnnt-type modified\n"
COMPARE = "--max-duration 30 --num-epochs 1 --rnnt-type modified --lrs 0.004 --methods "
CONF = {
    "train": TRAIN,
    "onboard": TRAIN,
    "connected": f"{COMPARE} hra-linear:8",
    "connected-20": f"{COMPARE} hra-linear:8 --modes multi",
}


@pytest.mark.takes_minutes
def test_every_stage_leaves_what_the_next_one_needs(shared, clone, tmp_path):
    corpus = tmp_path / "corpus"
    (corpus / "recordings").mkdir(parents=True)
    for pattern in ("[01]_{}_?.wav", "[01]_{}_1[0-4].wav"):
        for speaker in SPEAKERS:
            for wav in (shared / "data" / "fsdd" / "recordings").glob(pattern.format(speaker)):
                shutil.copy(wav, corpus / "recordings")
    conf = tmp_path / "conf"
    conf.mkdir()
    for name, options in CONF.items():
        (conf / f"{name}.conf").write_text(options)
    exp = tmp_path / "results" / "exp"
    options = [
        "--corpus-url", committed(corpus), "--data", tmp_path / "data", "--exp", exp, "--conf", conf,
        "--held-out", "nicolas", "--num-jobs", "1",
    ]  # fmt: skip

    done = clone.run("fsdd", *options, "--seeds", "1 2")
    assert done.returncode == 0, done.stderr
    assert not list(exp.glob("compare*"))
    frozen = json.loads((exp / "frozen" / "wer.json").read_text())
    assert frozen["total"]["words"] == len(SPEAKERS) * 2 * 5
    onboarded = json.loads((exp / "onboard-nicolas" / "wer.json").read_text())
    assert list(onboarded["tasks"]) == ["nicolas"]
    exported = json.loads((exp / "exported" / "wer.json").read_text())
    assert (exported["total"], exported["tasks"]) == (onboarded["total"], onboarded["tasks"])
    results = (exp / "RESULTS.md").read_text().splitlines()
    first_cells = [line.split(" | ")[0] for line in results if line.startswith("| ")]
    of_seed_2 = [f"| joint-2/{search}" for search in ("greedy_search", "modified_beam_search")]
    of_seed_1 = [row.replace("-2/", "-1/") for row in of_seed_2]
    decodings = ["| words", "| frozen", *of_seed_1, *of_seed_2, "| onboard-nicolas", "| exported"]
    trainings = ["| joint-1", "| joint-2", "| onboard-nicolas", "| without-nicolas"]
    assert [one for one in first_cells if one != "| "] == [*decodings, *trainings]
    assert f"| onboard-nicolas |  | {onboarded['tasks']['nicolas']['wer']:.2f} |  |  |" in results
    assert any(line.startswith("| joint-1 | 3 | 10,400 | 10,368 | linear | 64 | 1 | 15.0 |") for line in results)
    assert any(line.startswith("| without-nicolas | 2 |") for line in results)

    done = clone.run("fsdd", *options, "--seeds", "1", "--stage", "7", "--stop-stage", "9")
    assert done.returncode == 0, done.stderr
    tables = (exp / "RESULTS.md").read_text()
    assert set(results[4:]) < set(tables.splitlines())
    assert tables.count("| HRA linear, H=8 | multi | 1 | 0.004 |") == 2
    # A heading, a row of a table, a command and its versions, or what `hra compare` wrote: no sentence besides.
    written = {line for file in exp.glob("compare*/comparison.md") for line in file.read_text().splitlines()}
    assert all(line == "" or line[0] in "#|`" or line in written for line in tables.splitlines())
    assert clone.status() == ""


def test_every_comparison_has_its_options():
    """Stages 8 to 15 differ in these alone."""
    comparisons = [line.split() for line in (RECIPE / "run.sh").read_text().splitlines() if line.startswith("compare ")]
    assert [int(stage) for _, stage, *_ in comparisons] == list(range(8, 16))
    for *_, options in comparisons:
        assert "--methods" in (RECIPE / "conf" / options).read_text()


@pytest.fixture
def corpus_repository(tmp_path):
    write_wav(tmp_path / "corpus" / "recordings" / "0_ann_0.wav", seconds=0.3, rate=8000)
    return committed(tmp_path / "corpus")


def test_stage_0_clones_the_corpus_once(clone, corpus_repository):
    stage_0 = ["--stage", "0", "--stop-stage", "0"]
    done = clone.run("fsdd", *stage_0, "--corpus-url", corpus_repository)
    assert done.returncode == 0, done.stderr
    data = clone.directory / "recipes" / "fsdd" / "data"
    assert (data / "free-spoken-digit-dataset" / "recordings" / "0_ann_0.wav").is_file()
    assert [path.name for path in data.iterdir()] == ["free-spoken-digit-dataset"]

    again = clone.run("fsdd", *stage_0, "--corpus-url", "/nowhere")
    assert again.returncode == 0, again.stderr
    assert clone.status() == ""


def test_a_corpus_of_ones_own_is_not_cloned(clone, tmp_path, corpus_repository):
    done = clone.run("fsdd", "--stop-stage", "0", "--data", tmp_path / "data", "--corpus", corpus_repository)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data").exists()


def test_a_corpus_that_cannot_be_cloned_is_one_line_and_leaves_nothing(clone, tmp_path):
    done = clone.run("fsdd", "--corpus-url", tmp_path / "nowhere", "--data", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"error: cannot clone {tmp_path}/nowhere (fatal: " in done.stderr
    assert "--corpus DIR" in done.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_without_git_one_line_says_what_to_do(clone, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "date", "dirname", "env", "mkdir", "tee"):
        (tools / tool).symlink_to(shutil.which(tool))
    done = clone.run("fsdd", PATH=str(tools))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "git is missing; install it, or give the folder of a clone with --corpus DIR" in done.stderr


def test_a_speaker_who_is_not_there_is_one_line(clone):
    done = clone.run("fsdd", "--stage", "5", "--stop-stage", "5", "--held-out", "nobody")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no speaker 'nobody'" in done.stderr


def test_a_mistake_on_the_command_line_is_one_line(clone):
    done = clone.run("fsdd", "--stages", "3")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--stages" in done.stderr
