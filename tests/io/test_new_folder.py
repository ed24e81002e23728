"""A folder appears whole or not at all."""

import os

import pytest
from builders import refused

from hra_cli.errors import HraError
from hra_cli.io.new_folder import new_folder


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "deep" / "made") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "deep" / "made").exists()
    assert os.listdir(tmp_path / "deep") == ["made"]
    assert os.listdir(tmp_path / "deep" / "made") == ["one"]


def test_a_mistake_leaves_nothing(tmp_path):
    with refused("wrong"), new_folder(tmp_path / "deep" / "made") as folder:
        (folder / "one").write_text("1")
        raise HraError("something is wrong")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("what", ["file", "full folder", "link"])
def test_what_is_there_is_not_replaced(tmp_path, what):
    path = tmp_path / "made"
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with refused("is there already", path), new_folder(path):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "made").mkdir()
    with new_folder(tmp_path / "made") as folder:
        (folder / "one").write_text("1")
    assert os.listdir(tmp_path / "made") == ["one"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    left = tmp_path / ".made.unfinished" / "folder"
    left.mkdir(parents=True)
    (left / "half").write_text("1")
    with new_folder(tmp_path / "made") as folder:
        assert os.listdir(folder) == []
    assert os.listdir(tmp_path) == ["made"]


def test_one_process_makes_it(tmp_path):
    with new_folder(tmp_path / "made"), refused("is writing"), new_folder(tmp_path / "made"):
        pass
    assert os.listdir(tmp_path) == ["made"]


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with refused("cannot write", "x" * 250), new_folder(tmp_path / ("x" * 250)):
        pass
    assert os.listdir(tmp_path) == []
