"""What `hra info` says of a file."""

import shutil

import pytest
from builders import heads_of, random_adapter, refused
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hra_cli.adapter.head_file import write_head
from hra_cli.report.experiment_content import read_experiment
from hra_cli.report.facts import describe


@pytest.fixture
def head_file(tmp_path):
    write_head(tmp_path / "ann.safetensors", heads_of(random_adapter(["ann"], 40))[0])
    return tmp_path / "ann.safetensors"


def test_whether_a_head_is_sealed(head_file):
    assert describe(head_file).facts["sealed"].startswith("yes")
    with safe_open(head_file, "pt") as opened:
        metadata = {key: value for key, value in opened.metadata().items() if key != "head_fingerprint"}
    save_file(load_file(head_file), head_file, metadata)
    assert describe(head_file).facts["sealed"].startswith("not sealed: written by an hra that did not seal heads")


def test_what_a_killed_run_left_behind_is_no_head(experiment, tmp_path):
    exp_dir = shutil.copytree(experiment, tmp_path / "exp")
    heads = sorted((exp_dir / "heads").iterdir())
    expected = describe(exp_dir).rows
    assert len(expected) == len(heads)
    shutil.copy(heads[0], exp_dir / "heads" / f".0123abcd.{heads[0].name}")
    assert describe(exp_dir).rows == expected
    for head in heads:
        head.unlink()
    assert describe(exp_dir).rows == []


def test_a_damaged_head_of_an_experiment_is_named(experiment, tmp_path):
    exp_dir = shutil.copytree(experiment, tmp_path / "exp")
    head = sorted((exp_dir / "heads").iterdir())[0]
    head.write_bytes(head.read_bytes()[:-1])
    with refused("is not a safetensors file, or is truncated", head):
        describe(exp_dir)


def test_a_head_for_tasks_that_have_none_is_marked_and_comes_last(experiment):
    assert describe(experiment / "heads" / "common.safetensors").facts["for"] == "tasks that have no head"
    assert "for" not in describe(experiment / "heads" / "fr.safetensors").facts
    assert [row[0] for row in describe(experiment).rows] == ["de", "fr", "common, for tasks that have none"]


def test_a_report_counts_it_as_no_task(experiment):
    content = read_experiment(experiment)
    assert (content.facts["tasks"], content.facts["head for tasks without one"]) == ("2", "common")
    assert content.wer[-1].tasks == ["de", "fr"]
