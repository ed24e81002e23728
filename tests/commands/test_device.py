"""--device: one that is not there is a mistake, found before anything is written; and `hra info` says which are."""

import os
import platform
import sys

import pytest
import torch
from speech import BACKBONE, hra

import hra_cli
from hra_cli.app import main

HAVE_CUDA = torch.cuda.is_available()
ABSENT = "cuda:99" if HAVE_CUDA else "cuda"
WHY = "CUDA devices" if HAVE_CUDA else "finds no CUDA device here; use --device cpu"


@pytest.fixture
def given(data, experiment, tmp_path):
    """A command's options, all but the device."""
    common = ["--backbone", BACKBONE, "--data", data]
    return {
        "train": ["train", *common, "--exp-dir", tmp_path / "exp"],
        "compare": ["compare", *common, "--exp-dir", tmp_path / "exp"],
        "decode": ["decode", *common, "--exp-dir", experiment, "--output-dir", tmp_path / "exp"],
    }


@pytest.mark.parametrize("command", ["train", "decode", "compare"])
def test_a_device_that_is_not_there(refused, given, tmp_path, command):
    line = refused(*given[command], "--device", ABSENT)
    assert line.startswith(f"hra: error: --device {ABSENT}: ")
    assert WHY in line
    assert not list(tmp_path.glob("exp*"))


@pytest.mark.parametrize("command", ["train", "decode", "compare"])
def test_a_device_that_is_none(refused, given, tmp_path, command):
    assert "no such --device: 'gpu'; there are auto, cpu, cuda and cuda:N" in refused(
        *given[command], "--device", "gpu"
    )
    assert not list(tmp_path.glob("exp*"))


def test_decoding_on_a_device_that_is_named(given, experiment, tmp_path):
    hra(*given["decode"], "--device", "cpu")
    again = [option if option != tmp_path / "exp" else tmp_path / "auto" for option in given["decode"]]
    hra(*again, "--device", "auto")
    read = [(tmp_path / name / "recogs-test-greedy_search.txt").read_text() for name in ("exp", "auto")]
    assert read[0]
    if not HAVE_CUDA:
        assert read[0] == read[1]


def test_info_without_a_path_says_what_is_installed_and_what_can_compute():
    shown = hra("info", env={**os.environ, "COLUMNS": "200"}).stdout
    for fact in (hra_cli.__version__, platform.python_version(), torch.__version__, "k2"):
        assert fact in shown
    rows = [line.strip("│ ").split() for line in shown.splitlines()]
    names = [row[0] for row in rows if row]
    assert "cpu" in names
    assert ("cuda:0" in names) == HAVE_CUDA


def test_info_says_why_k2_is_of_no_use(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setitem(sys.modules, "k2", None)
    with pytest.raises(SystemExit) as stopped:
        main(["info"])
    assert stopped.value.code == 0
    assert f"k2 cannot be imported with torch {torch.__version__}" in capsys.readouterr().out
