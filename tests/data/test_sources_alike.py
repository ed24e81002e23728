"""The same recordings through every kind of source: the same splits, the same features bit for bit, and a head."""

import os

import pytest
from cut_lists import cuts_by_task
from lhotse import CutSet
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.corpora.fsdd import fsdd_corpus
from hra_cli.data.corpora.kaldi import kaldi_corpus
from hra_cli.data.corpora.shar import shar_corpus
from hra_cli.data.corpora.speaker_folders import folder_corpus
from hra_cli.data.corpora.table_columns import Columns
from hra_cli.data.corpora.utterance_table import table_corpus
from hra_cli.data.corpus import Corpus, prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment
from hra_cli.experiment.config import TrainConfig
from hra_cli.training.train_heads import train


@pytest.fixture
def recordings(shared, tmp_path):
    """A folder of 36 recordings of FSDD's, of two speakers."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for speaker in ("jackson", "theo"):
        for digit in range(3):
            for index in (0, 1, 5, 6, 10, 11):
                name = f"{digit}_{speaker}_{index}.wav"
                os.symlink(shared / "data" / "fsdd" / "recordings" / name, folder / name)
    return folder


def as_fsdd(recordings) -> Corpus:
    return fsdd_corpus(recordings)


def as_kaldi(recordings) -> Corpus:
    """With a folder for each split."""
    given = []
    for split, utterances in of_splits(recordings).items():
        folder = recordings.parent / "kaldi" / split
        folder.mkdir(parents=True)
        for file, content in (
            ("wav.scp", lambda cut: f"{recordings.name}/{cut.id}.wav"),
            ("text", lambda cut: cut.supervisions[0].text),
            ("utt2spk", lambda cut: cut.supervisions[0].speaker),
        ):
            (folder / file).write_text("".join(f"{cut.id} {content(cut)}\n" for cut in utterances))
        given.append(f"{split}={folder}")
    return kaldi_corpus(given, root=recordings.parent)


def as_table(recordings) -> Corpus:
    """With a column for the split."""
    file = recordings.parent / "table.csv"
    rows = [
        f"{cut.id}.wav,{cut.supervisions[0].text},{cut.supervisions[0].speaker},{split}\n"
        for split, utterances in of_splits(recordings).items()
        for cut in utterances
    ]
    file.write_text("file,words,speaker,part\n" + "".join(rows))
    return table_corpus([file], Columns(audio="file", text="words"), audio_dir=recordings)


def as_folder(recordings) -> Corpus:
    """With a folder for each speaker in one for each split."""
    corpus = recordings.parent / "folder"
    for split, utterances in of_splits(recordings).items():
        for cut in utterances:
            folder = corpus / split / cut.supervisions[0].speaker
            folder.mkdir(parents=True, exist_ok=True)
            os.symlink(recordings / f"{cut.id}.wav", folder / f"{cut.id}.wav")
            (folder / f"{cut.id}.txt").write_text(cut.supervisions[0].text)
    return folder_corpus(corpus)


def as_shar(recordings) -> Corpus:
    """With an archive for each split."""
    given = []
    for split, utterances in of_splits(recordings).items():
        folder = recordings.parent / "shar" / split
        folder.mkdir(parents=True)
        CutSet.from_cuts(utterances).to_shar(folder, fields={"recording": "wav"}, shard_size=5)
        given.append(f"{split}={folder}")
    return shar_corpus(given)


SOURCES = {"fsdd": as_fsdd, "kaldi": as_kaldi, "table": as_table, "folder": as_folder, "shar": as_shar}
SPLIT_BY = {"table": "part"}


def of_splits(recordings):
    splits = {"train": [], "dev": [], "test": []}
    for cut in cuts_by_task(fsdd_corpus(recordings).cuts()[0], "speaker", "split")[0]:
        splits[cut.custom["split"]].append(cut)
    return splits


def test_the_source_makes_no_difference(recordings):
    options = PrepareOptions(num_jobs=1)
    features, cuts = {}, {}
    for name, source in SOURCES.items():
        data = recordings.parent / f"data-{name}"
        assignment = Assignment(split_by=SPLIT_BY.get(name))
        index = prepare_corpus(source(recordings), data, assignment, options).index
        assert not index.skipped
        features[name] = [file.read_bytes() for file in sorted((data / "feats").iterdir())]
        cuts[name] = {
            (task, split): [
                (cut.id.rpartition("/")[2], cut.duration, cut.supervisions[0].text) for cut in index.cuts(task, split)
            ]
            for task in index.names
            for split in index.splits(task)
        }
    assert cuts["fsdd"].keys() == {(name, split) for name in ("jackson", "theo") for split in ("train", "dev", "test")}
    assert {len(some) for some in cuts["fsdd"].values()} == {6}
    for name in SOURCES:
        assert cuts[name] == cuts["fsdd"]
        assert features[name] == features["fsdd"]


@pytest.mark.parametrize("name", ["kaldi", "table", "folder", "shar"])
def test_a_head_is_trained_on_it(shared, recordings, name):
    data, backbone = recordings.parent / "data", shared / "models" / "zipformer-tts-en"
    assignment = Assignment(split_by=SPLIT_BY.get(name))
    prepare_corpus(SOURCES[name](recordings), data, assignment, PrepareOptions(num_jobs=1))
    settings = {"backbone": str(backbone), "data": str(data), "max_duration": 10.0, "num_epochs": 1, "hidden": 8}
    train(TrainConfig(**settings, rnnt_type="modified"), recordings.parent / "exp")
    assert sorted(file.name for file in (recordings.parent / "exp" / "heads").iterdir()) == [
        "common.safetensors",
        "jackson.safetensors",
        "theo.safetensors",
    ]


def run(*arguments):
    given = [*arguments, "--num-jobs", "1", "--on-the-fly"]
    result = CliRunner().invoke(app, [str(one) for one in given], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_the_command_line(recordings):
    as_kaldi(recordings)
    as_table(recordings)
    here = recordings.parent
    folders = {split: here / "kaldi" / split for split in ("train", "dev", "test")}
    given = [f"{split}={folder}" for split, folder in folders.items()]
    assert "2 tasks" in run("kaldi", *given, "--root", here, "--output-dir", here / "by-kaldi")
    train = run("kaldi", folders["train"], "--output-dir", here / "by-train")
    assert f"{folders['train'] / 'wav.scp'}: paths are relative to {here}\n" in train
    columns = ("--audio", "file", "--text", "words", "--audio-dir", recordings, "--split-by", "part")
    by_table = ("--task-by", "constant:all", "--output-dir", here / "by-table")
    assert "1 tasks" in run("table", here / "table.csv", *columns, *by_table)
