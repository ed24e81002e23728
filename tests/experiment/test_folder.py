"""What an experiment folder offers: its heads, one by one or all."""

import shutil

import pytest
from builders import refused
from speech import BACKBONE, hra

from hra_cli.adapter.head_file import read_head
from hra_cli.experiment.folder import experiment_heads, export_head
from hra_cli.recognition.load import load_recogniser


@pytest.fixture
def copied(experiment, tmp_path):
    return shutil.copytree(experiment, tmp_path / "exp")


def test_what_a_killed_run_left_behind_is_no_head(copied):
    expected = [head.task for head in experiment_heads(copied)]
    first = copied / "heads" / f"{expected[0]}.safetensors"
    left = first.with_name(f".0123abcd.{first.name}")
    left.write_bytes(first.read_bytes()[:100])
    assert [head.task for head in experiment_heads(copied)] == expected
    assert load_recogniser(BACKBONE, exp_dir=copied).adapter.tasks == expected
    with refused(f"no head for task '.0123abcd.{expected[0]}' in"):
        export_head(copied, f".0123abcd.{expected[0]}", copied / "out.safetensors")
    for task in expected:
        (copied / "heads" / f"{task}.safetensors").unlink()
    for read in (experiment_heads, lambda exp_dir: load_recogniser(BACKBONE, exp_dir=exp_dir)):
        with refused("has no heads yet: `hra train` writes them when it ends"):
            read(copied)


def test_a_head_under_another_tasks_name_is_refused(copied):
    first, second = (head.task for head in experiment_heads(copied)[:2])
    heads = copied / "heads"
    shutil.copy(heads / f"{first}.safetensors", heads / f"{second}.safetensors")
    with refused(f"{second}.safetensors holds the head of task '{first}'"):
        export_head(copied, second, copied / "out.safetensors")


def test_an_exported_head_is_sealed_anew(copied):
    task = experiment_heads(copied)[0].task
    for dtype in ("float32", "bfloat16"):
        export_head(copied, task, copied / "out.safetensors", dtype=dtype)
        assert read_head(copied / "out.safetensors").dtype == dtype


def test_all_heads_in_one_file_decode_as_those_of_the_experiment(data, experiment, tmp_path):
    pack = tmp_path / "heads.safetensors"
    done = hra("export-head", "--exp-dir", experiment, "--all", "--pack", pack)
    assert "3 heads of 10,400 parameters, controller, 10,368 parameters, float32" in done.stdout
    heads = experiment_heads(experiment)
    size = sum((experiment / "heads" / f"{head.task}.safetensors").stat().st_size for head in heads)
    assert pack.stat().st_size < 1.4 * size
    shown = hra("info", pack).stdout
    assert all(head.task in shown for head in heads)
    texts = []
    for heads_from in (["--heads", pack], ["--exp-dir", experiment]):
        hra("decode", "--backbone", BACKBONE, "--data", data, *heads_from, "--output-dir", tmp_path / "out")
        (recogs,) = (tmp_path / "out").glob("recogs-*")
        texts.append(recogs.read_text())
        shutil.rmtree(tmp_path / "out")
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--all"], "--pack is missing, with --all"),
        (["--all", "--pack", "p.safetensors", "--task", "fr"], "--task has no effect with --all"),
        (["--task", "fr"], "--output is missing, with --task"),
        (["--output", "fr.safetensors"], "--task is missing, or --all"),
        (
            ["--task", "fr", "--output", "fr.safetensors", "--pack", "p.safetensors"],
            "--pack has no effect without --all",
        ),
        (["--all", "--pack", "heads"], "ends in .safetensors"),
    ],
)
def test_one_head_or_all(experiment, tmp_path, options, message):
    done = hra("export-head", "--exp-dir", experiment, *options, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
