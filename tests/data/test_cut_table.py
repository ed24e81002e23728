import gzip
import pickle

import numpy as np
import pytest
from builders import refused
from cut_lists import cuts_by_task

from hra_cli.data import cut_table
from hra_cli.data.batch_plan import decoding_batches, training_batches
from hra_cli.data.batches import load_batches
from hra_cli.data.cut_store import CutStore
from hra_cli.data.cut_table import CutTable
from hra_cli.data.preparation import prepare
from hra_cli.data.splits import RandomSplit


@pytest.fixture
def index(corpus, tmp_path):
    cuts, _ = cuts_by_task(corpus, "speaker")
    return prepare(cuts, tmp_path / "data", {}, random_split=RandomSplit(0, 0), num_jobs=1)


@pytest.fixture
def everyone(index):
    return [cut for task in index.names for cut in index.cuts(task, "train")]


@pytest.fixture(params=["in memory", "some", "on disk"])
def table(index, monkeypatch, request):
    monkeypatch.setattr(cut_table, "KEPT", {"in memory": 100, "some": 5, "on disk": 0}[request.param])
    return index.table(index.names, "train")


def test_a_table_is_the_cuts_wherever_they_are(table, everyone):
    assert len(table) == 12
    assert list(table) == everyone
    assert [table[number] for number in (11, 0, -1, 5)] == [everyone[number] for number in (11, 0, -1, 5)]
    assert list(table[2:11:3]) == everyone[2:11:3]
    assert list(table[2:11:3][1:]) == everyone[2:11:3][1:]
    assert table[4:][0] == everyone[4]
    assert list(table.read([3, 3, 8, 1])) == [everyone[number] for number in (3, 3, 8, 1)]
    assert table.durations.tolist() == [cut.duration for cut in everyone]
    assert [cut.id for cut in table.longest_first()][:2] == ["ann-5", "bob-5"]
    assert list(pickle.loads(pickle.dumps(table))) == everyone
    with pytest.raises(IndexError):
        table[12]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_the_same_wherever_cuts_are(table, everyone, num_workers):
    def of(plan):
        return [batch.ids for batch in load_batches(plan, num_workers)]

    assert of(training_batches(table, 1.0, 1, 2)) == of(training_batches(everyone, 1.0, 1, 2))
    assert of(decoding_batches(table, 1.0)) == of(decoding_batches(everyone, 1.0))


def test_processes_divide_every_batch(table):
    plan = training_batches(table, 1.0, 1, 2)
    parts = [plan.part(lambda cuts, rank=rank: cuts[rank::2]) for rank in range(2)]
    for number, batch in enumerate(plan):
        shared = [[cut.id for cut in part[number]] for part in parts]
        assert sorted([*shared[0], *shared[1]]) == sorted(cut.id for cut in batch)
        assert 0 <= len(shared[0]) - len(shared[1]) <= 1
    assert [cut.id for cut in parts[1][2:][0]] == [cut.id for cut in parts[1][2]]


def test_a_manifest_that_has_become_shorter_is_named(index, monkeypatch):
    monkeypatch.setattr(cut_table, "KEPT", 0)
    table = index.table(["ann"], "train")
    file = index.data_dir / "cuts" / "ann" / "train.jsonl.gz"
    first = gzip.decompress(file.read_bytes()).splitlines(keepends=True)[0]
    file.write_bytes(gzip.compress(first))
    assert table[0].id == "ann-0"
    with refused("cuts/ann/train.jsonl.gz has changed since it was first read; delete"):
        table[3]
    file.unlink()
    with refused("cannot read .*train.jsonl.gz"):
        table[3]


def test_what_is_in_memory_needs_no_manifest(everyone):
    table = CutTable.of(everyone)
    assert list(table) == everyone
    assert CutTable.of(table) is table
    assert isinstance(table.durations, np.ndarray)


def test_a_store_gives_back_what_it_was_given(corpus, tmp_path):
    cuts = list(cuts_by_task(corpus, "speaker")[0])
    with CutStore(tmp_path / "store") as store:
        store.add(reversed(cuts))
        assert list(store) == sorted(cuts, key=lambda cut: (cut.custom["task"], cut.id))
        assert len(store) == 12
        rows = store.rows()
        store.remove(rows[:2])
        assert [content["id"] for content in store.contents_of(rows[2:5])] == ["ann-2", "ann-3", "ann-4"]
        assert (tmp_path / "store").exists()
    assert not (tmp_path / "store").exists()
