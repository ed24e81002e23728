"""What an experiment folder offers: its heads, one by one or all."""

import shutil

import pytest
from builders import refused
from speech import BACKBONE

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
