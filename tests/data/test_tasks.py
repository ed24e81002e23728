import json

import pytest

from hra_cli.data.task_index import Split, TaskIndex, check_task_name, load_tasks
from hra_cli.errors import HraError


def index_in(folder):
    split = Split(cuts="cuts/ann/test.jsonl.gz", utterances=2, seconds=1.5, words=3)
    tasks = {"bob": {"test": split, "train": split}, "ann": {"test": split}}
    return TaskIndex(folder, tasks, "stored", {"corpus": "x", "seed": 1}, {"too short": 4})


def test_what_is_saved_is_loaded(tmp_path):
    index_in(tmp_path).save()
    assert load_tasks(tmp_path) == index_in(tmp_path)
    assert load_tasks(tmp_path).names == ["ann", "bob"]
    assert list(load_tasks(tmp_path).splits("bob")) == ["train", "test"]
    content = json.loads((tmp_path / "tasks.json").read_text())
    assert (content["format"], content["format_version"], content["sampling_rate"]) == ("hra-tasks", 1, 16000)


def test_selecting_tasks(tmp_path):
    index = index_in(tmp_path)
    assert index.select(None) == ["ann", "bob"]
    assert index.select(["bob", "bob"]) == ["bob"]
    with pytest.raises(HraError, match="did you mean 'ann'"):
        index.select(["anne"])


def test_an_absent_split_or_file_is_named(tmp_path):
    with pytest.raises(HraError, match=r"task 'ann' has no dev split .* it has: test"):
        index_in(tmp_path).cuts("ann", "dev")
    with pytest.raises(HraError, match=r"cuts/ann/test\.jsonl\.gz is missing"):
        index_in(tmp_path).cuts("ann", "test")


def test_a_folder_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(HraError, match="run `hra prepare` first"):
        load_tasks(tmp_path)
    with pytest.raises(HraError, match="run `hra prepare` first"):
        load_tasks(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": {}}, "holds no tasks"),
        ({"format": "other"}, "not written by `hra prepare`"),
        ({"format_version": 2}, "format version 2"),
        ({"tasks": {"ann": {"test": {"cuts": "x"}}}}, "damaged"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused(tmp_path, change, message):
    index_in(tmp_path).save()
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": None, **change}))
    with pytest.raises(HraError, match=message):
        load_tasks(tmp_path)


def test_half_an_index_is_refused(tmp_path):
    index_in(tmp_path).save()
    path = tmp_path / "tasks.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(HraError, match="damaged"):
        load_tasks(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", ".hidden", "a\nb", "é" * 101])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(HraError, match="task name"):
        check_task_name(name)


@pytest.mark.parametrize("name", ["ann", "São Paulo", "speaker-1.2", "a" * 200])
def test_other_names_are_accepted(name):
    check_task_name(name)
