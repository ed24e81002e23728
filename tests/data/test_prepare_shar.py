import os

import pytest
from builders import refused
from cut_lists import cuts_by_task
from lhotse import CutSet

from hra_cli.data.batches import SpeechDataset
from hra_cli.data.corpora.shar import shar_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.preparation import prepare
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment, RandomSplit
from hra_cli.errors import HraError


def prepare_here(corpus, folder, **options):
    cuts, _ = cuts_by_task(corpus, "speaker")
    return prepare(cuts, folder, {}, **{"random_split": RandomSplit(0.2, 0.2), "num_jobs": 1, **options})


def everyone(index):
    return [cut for task in index.names for split in index.splits(task) for cut in index.cuts(task, split)]


def files_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_archives_are_all_that_training_needs(tmp_path, corpus):
    expected = prepare_here(corpus, tmp_path / "fly", on_the_fly=True)
    features = SpeechDataset()[CutSet.from_cuts(everyone(expected))].features
    index = prepare_here(corpus, tmp_path / "data", shar=True)
    for cut in corpus:
        os.remove(cut.recording.sources[0].source)
    batch = SpeechDataset()[CutSet.from_cuts(everyone(index))]
    assert batch.ids == [cut.id for cut in everyone(expected)]
    assert not batch.unreadable
    assert (batch.features - features).abs().mean() < 0.01  # audio of 16 bits a sample is heard in silence alone
    for split in ("train", "dev", "test"):
        assert {task: index.splits(task)[split].utterances for task in index.names} == {
            task: expected.splits(task)[split].utterances for task in index.names
        }


def test_lhotse_and_hra_read_the_archives(tmp_path, corpus):
    index = prepare_here(corpus, tmp_path / "data", shar=True)
    read = {cut.id: cut for cut in CutSet.from_shar(in_dir=tmp_path / "data" / "shar")}
    prepared = {cut.id: cut for cut in everyone(index)}
    assert read.keys() == prepared.keys()
    for id_, cut in read.items():
        assert cut.custom["task"] == prepared[id_].custom["task"]
        assert cut.custom["split"] == prepared[id_].custom["split"]
        assert cut.supervisions[0].text == prepared[id_].supervisions[0].text
        assert cut.load_audio().shape == (1, round(cut.duration * 16_000))
    by_field = Assignment("custom.task", "custom.split")
    again = prepare_corpus(shar_corpus([tmp_path / "data" / "shar"]), tmp_path / "again", by_field).index
    assert {task: set(again.splits(task)) for task in again.names} == {
        task: set(index.splits(task)) for task in index.names
    }


def test_any_number_of_processes_writes_the_same(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr("hra_cli.data.audio_reader.CUTS_PER_CHUNK", 5)
    prepare_here(corpus, tmp_path / "one", shar=True)
    prepare_here(corpus, tmp_path / "two", shar=True, num_jobs=2)
    one, two = files_of(tmp_path / "one" / "shar"), files_of(tmp_path / "two" / "shar")
    assert one == two
    assert [name for name in one if name.startswith("cuts.")] == [f"cuts.00000{number}.jsonl.gz" for number in range(3)]
    assert [name for name in one if name.endswith(".tar")] == [f"recording.00000{number}.tar" for number in range(3)]


def test_a_shard_of_which_nothing_can_be_used_costs_the_others_nothing(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr("hra_cli.data.audio_reader.CUTS_PER_CHUNK", 3)
    for cut in corpus:
        if cut.id in ("ann-0", "ann-1", "ann-2"):
            os.truncate(cut.recording.sources[0].source, 0)
    index = prepare_here(corpus, tmp_path / "data", shar=True, random_split=RandomSplit(0, 0))
    assert index.skipped == {"unreadable recording": 3}
    assert len(list(CutSet.from_shar(in_dir=tmp_path / "data" / "shar"))) == 9
    assert not SpeechDataset()[CutSet.from_cuts(everyone(index))].unreadable


def test_an_unfinished_folder_is_started_over(tmp_path, corpus):
    expected = prepare_here(corpus, tmp_path / "data", shar=True)
    before = files_of(tmp_path / "data")
    (tmp_path / "data" / "tasks.json").unlink()
    with refused("exists and was not written by"):
        prepare_here(corpus, tmp_path / "data", shar=True)
    (tmp_path / "data" / ".hra-prepare-unfinished").touch()
    assert prepare_here(corpus, tmp_path / "data", shar=True).tasks == expected.tasks
    assert files_of(tmp_path / "data") == before


def test_on_the_fly_and_shar_are_one_too_many():
    with pytest.raises(HraError, match="--on-the-fly has no effect with --shar"):
        PrepareOptions(on_the_fly=True, shar=True)
