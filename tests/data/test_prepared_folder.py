"""A data folder that is not as it was prepared is refused, and its names are checked."""

import gzip
import json
import unicodedata

import pytest
from builders import refused
from cut_lists import cuts_by_task
from data_folders import change_tasks
from lhotse import CutSet
from lhotse.utils import fastcopy

from hra_cli.data.preparation import prepare
from hra_cli.data.splits import RandomSplit
from hra_cli.data.task_index import load_tasks


@pytest.fixture
def data(tmp_path, corpus):
    """Tasks ann and bob, each with four cuts in train, one in dev and one in test."""
    cuts, _ = cuts_by_task(corpus, "speaker")
    prepare(cuts, tmp_path / "data", {}, random_split=RandomSplit(), num_jobs=1, on_the_fly=True)
    return tmp_path / "data"


def file_of(data, task="ann", split="train"):
    return data / "cuts" / task / f"{split}.jsonl.gz"


def lines_of(file):
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def without_digests(content):
    """As folders of earlier versions are."""
    for splits in content["tasks"].values():
        for entry in splits.values():
            del entry["sha256"]


def lost(lines):
    return lines[:-1]


def doubled(lines):
    return [*lines, lines[0]]


def replaced_by_its_neighbour(lines):
    return [*lines[:-1], lines[0]]


def other_words(lines):
    return [line.replace(b"ONE TWO", b"ONE") for line in lines]


def other_times(lines):
    return [line.replace(b'"duration": 0.3', b'"duration": 0.2') for line in lines]


def without_text(lines):
    return [line.replace(b'"text": "ONE TWO"', b'"text": ["ONE", "TWO"]') for line in lines]


@pytest.mark.parametrize(
    "change",
    [lost, doubled, replaced_by_its_neighbour, other_words, other_times, without_text],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("digests", [True, False])
def test_a_manifest_that_has_changed_is_refused(data, change, digests):
    if not digests:
        change_tasks(data, without_digests)
    assert len(load_tasks(data).cuts("ann", "train")) == 4
    file = file_of(data)
    before = lines_of(file)
    file.write_bytes(gzip.compress(b"".join(change(before))))
    assert lines_of(file) != before
    with refused("has changed since it was prepared", file, "run `hra prepare` again"):
        load_tasks(data).cuts("ann", "train")


def test_a_word_of_another_spelling_is_found_by_the_digest(data):
    file = file_of(data)
    file.write_bytes(gzip.compress(b"".join(lines_of(file)).replace(b"TWO", b"SIX")))
    with refused("has changed since it was prepared: its content is another"):
        load_tasks(data).cuts("ann", "train")


@pytest.mark.parametrize("digests", [True, False])
def test_the_manifest_of_another_task_or_split_is_refused(data, digests):
    if not digests:
        change_tasks(data, without_digests)
    for other in (file_of(data, "bob", "test"), file_of(data, "ann", "dev")):
        file_of(data, "ann", "test").write_bytes(other.read_bytes())
        with refused("has changed since it was prepared: cut .* is not one of task 'ann', test"):
            load_tasks(data).cuts("ann", "test")


def test_numbers_that_were_changed_in_the_index_are_refused(data):
    change_tasks(data, lambda content: content["tasks"]["ann"]["train"].update(utterances=10))
    with refused("it has 4 utterances in place of 10"):
        load_tasks(data).cuts("ann", "train")


def test_a_damaged_manifest_names_file_and_line(data):
    file = file_of(data)
    lines = lines_of(file)
    file.write_bytes(gzip.compress(b"".join([*lines[:2], lines[2][:40], b"\n", *lines[3:]])))
    with refused("is damaged", f"{file}, line 3", "run `hra prepare` again"):
        load_tasks(data).cuts("ann", "train")
    file.write_bytes(gzip.compress(b"".join(lines))[:-9])
    with refused("cut off or no gzip file", file):
        load_tasks(data).cuts("ann", "train")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda one: one.update(cuts="../../secret.jsonl.gz"), "lies outside the data folder"),
        (lambda one: one.update(cuts="/etc/passwd"), "lies outside the data folder"),
        (lambda one: one.update(utterances=-1), "cannot be"),
        (lambda one: one.update(seconds=float("nan")), "cannot be"),
        (lambda one: one.update(words="many"), "is damaged"),
        (lambda one: one.update(more=1), "is damaged"),
        (lambda one: one.pop("cuts"), "is damaged"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(data, change, problem):
    change_tasks(data, lambda content: change(content["tasks"]["ann"]["train"]))
    with refused(problem, data / "tasks.json"):
        load_tasks(data)


@pytest.mark.parametrize(
    "change", [{"features": "none"}, {"tasks": []}, {"sampling_rate": 8000}, {"skipped": {"a": -1.5}}]
)
def test_an_index_of_other_types_is_refused(data, change):
    change_tasks(data, lambda content: content.update(change))
    with refused("is damaged", data / "tasks.json"):
        load_tasks(data)


@pytest.mark.parametrize("text", ["[]", "3", "", "{", '"\\ud800"', "[" * 5000, "\udcff"])
def test_an_index_that_is_something_else_is_refused(data, text):
    (data / "tasks.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with refused("is damaged", data / "tasks.json"):
        load_tasks(data)


def test_an_index_that_lost_a_task_is_refused(data):
    content = json.loads((data / "tasks.json").read_text())
    del content["tasks"]["ann"]
    (data / "tasks.json").write_text(json.dumps(content))
    with refused("has changed since it was written", data / "tasks.json"):
        load_tasks(data)


@pytest.mark.parametrize("name", ["../../escaped", ".hidden", "a\nb", ""])
def test_names_of_tasks_are_checked_when_they_are_read(data, name):
    def rename(content):
        content["tasks"][name] = content["tasks"].pop("ann")

    change_tasks(data, rename)
    with refused("the task name", data / "tasks.json"):
        load_tasks(data)


@pytest.mark.parametrize("split", ["all", "../train"])
def test_other_splits_are_refused(data, split):
    def rename(content):
        content["tasks"]["ann"][split] = content["tasks"]["ann"].pop("train")

    change_tasks(data, rename)
    with refused("is damaged"):
        load_tasks(data)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ann", "Ann"), ("straße", "STRASSE"), ("é", unicodedata.normalize("NFD", "é"))],
)
def test_names_that_other_systems_take_for_the_same_are_refused(tmp_path, corpus, data, one, other):
    tasks = {"ann": one, "bob": other}
    cuts = [fastcopy(cut, custom={"task": tasks[cut.supervisions[0].speaker], "split": "train"}) for cut in corpus]
    with refused("differ only in case or in how their characters are written"):
        prepare(CutSet.from_cuts(cuts), tmp_path / "other", {}, num_jobs=1)
    assert not (tmp_path / "other").exists()
    change_tasks(
        data,
        lambda content: content.update(tasks={tasks[name]: splits for name, splits in content["tasks"].items()}),
    )
    with refused("differ only in case", data / "tasks.json"):
        load_tasks(data)


@pytest.mark.parametrize(
    "name",
    ["archive.tar", "a.tar.gz", "b.gz", "c.jsonl", "d.json", "e.safetensors", "result.json", "f.", "ä ö", "a:b", "-"],
)
def test_a_task_may_have_any_other_name(tmp_path, corpus, name):
    cuts, _ = cuts_by_task(corpus, f"constant:{name}")
    prepare(cuts, tmp_path / "data", {}, random_split=RandomSplit(), num_jobs=1)
    index = load_tasks(tmp_path / "data")
    assert index.names == [name]
    (cut,) = index.cuts(name, "test")
    assert cut.load_features().shape == (cut.num_frames, 80)


def test_a_data_folder_may_have_any_name(tmp_path, corpus, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cuts, _ = cuts_by_task(corpus, "speaker")
    for name in ("data.tar", "pipe:touch sentinel; cat"):
        prepare(cuts, (tmp_path / name / "data").relative_to(tmp_path), {}, random_split=RandomSplit(), num_jobs=1)
        (cut,) = load_tasks((tmp_path / name / "data").relative_to(tmp_path)).cuts("ann", "test")
        assert cut.load_features().shape == (cut.num_frames, 80)
    assert not (tmp_path / "sentinel").exists()


def test_a_split_that_no_task_has_is_answered_with_those_that_there_are(tmp_path, corpus):
    cuts, _ = cuts_by_task(corpus, "speaker")
    index = prepare(cuts, tmp_path / "data", {}, random_split=RandomSplit(test_fraction=0), num_jobs=1)
    with refused(r"no task in .* has a test split; there are: train, dev$"):
        index.with_split("test")
