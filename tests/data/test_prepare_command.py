from recordings import write_wav
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.tasks import load_tasks
from hra_cli.errors import HraError


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def test_fsdd_from_the_command_line(tmp_path):
    for name in ("3_ann_0.wav", "4_ann_6.wav", "5_ann_20.wav", "5_ann_21.wav"):
        write_wav(tmp_path / "fsdd" / "recordings" / name)
    (tmp_path / "fsdd" / "recordings" / "notes.txt").write_text("hello")
    command = ("fsdd", tmp_path / "fsdd", "--output-dir", tmp_path / "data", "--num-jobs", 1)
    first = run(*command)
    assert first.exit_code == 0, first.output
    rows = [line.replace("│", " ").split() for line in first.stdout.splitlines()]
    assert ["ann", "train", "2", "0.0", "2"] in rows
    assert ["1", "tasks", "4", "0.0", "4"] in rows
    assert ["not", "an", "FSDD", "file", "name", "1"] in rows
    assert str(tmp_path / "data" / "skipped.tsv") in first.stdout.replace("\n", "")
    again = run(*command)
    assert again.exit_code == 0
    assert "already prepared" in again.stdout
    assert ["ann", "train", "2", "0.0", "2"] in [line.replace("│", " ").split() for line in again.stdout.splitlines()]
    other = run(*command, "--on-the-fly")
    assert isinstance(other.exception, HraError)


def test_cuts_from_the_command_line(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    command = ("cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--num-jobs", 1)
    result = run(*command, "--output-dir", tmp_path / "data", "--test-fraction", 0.5, "--dev-fraction", 0)
    assert result.exit_code == 0, result.output
    index = load_tasks(tmp_path / "data")
    assert {split: entry.utterances for split, entry in index.splits("bob").items()} == {
        "train": 3,
        "test": 3,
    }
    other = run(*command, "--output-dir", tmp_path / "data")
    assert isinstance(other.exception, HraError)
    assert "test-fraction was 0.5 and is now 0.1" in str(other.exception)
