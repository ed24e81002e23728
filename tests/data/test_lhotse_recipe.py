"""Corpora by lhotse's own recipes."""

import itertools
import subprocess

import pytest
import soundfile
from builders import refused
from lhotse import recipes
from recordings import write_wav
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.corpora.lhotse_recipe import lhotse_corpus, recipe_names
from hra_cli.data.corpora.speaker_folders import folder_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment

ONE_JOB = PrepareOptions(num_jobs=1)
SPHERE = (
    b"NIST_1A\n   1024\nsample_count -i 16000\nsample_n_bytes -i 2\nchannel_count -i 1\nsample_byte_format -s2 01\n"
    b"sample_rate -i 16000\nsample_coding -s3 pcm\nend_head\n"
).ljust(1024)


@pytest.fixture
def librispeech(tmp_path):
    """Two speakers in each of three parts, as LibriSpeech has them."""
    corpus = tmp_path / "LibriSpeech"
    for number, part in enumerate(("dev-clean-2", "train-clean-5", "test-clean")):
        for speaker in (10 * number + 1, 10 * number + 2):
            chapter = corpus / part / str(speaker) / "7"
            lines = []
            for index in range(2):
                name = f"{speaker}-7-{index:04d}"
                file = write_wav(chapter / f"{name}.wav", 0.3, 16000, seed=100 * speaker + index)
                soundfile.write(chapter / f"{name}.flac", soundfile.read(file)[0], 16000)
                file.unlink()
                lines.append(f"{name} ONE TWO\n")
            (chapter / f"{speaker}-7.trans.txt").write_text("".join(lines))
    return corpus


@pytest.fixture
def yesno(tmp_path):
    """As OpenSLR's corpus of that name: 60 recordings, called after what is said."""
    names = itertools.islice(itertools.product("01", repeat=8), 60)
    for number, name in enumerate(names):
        write_wav(tmp_path / "waves_yesno" / f"{'_'.join(name)}.wav", 0.2, seed=number)
    return tmp_path / "waves_yesno"


def counts(index):
    return {
        task: {split: one.utterances for split, one in splits.items()} for task, splits in sorted(index.tasks.items())
    }


def test_parts_that_are_called_train_and_test_are_splits(tmp_path, yesno):
    corpus = lhotse_corpus("yesno", yesno)
    index = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="language"), ONE_JOB).index
    assert counts(index) == {"Hebrew": {"train": 30, "test": 30}}
    (first, *_) = index.cuts("Hebrew", "train")
    assert (first.id, first.supervisions[0].text) == ("0_0_0_0_0_0_0_0", " ".join(["NO"] * 8))
    again = prepare_corpus(lhotse_corpus("yesno", yesno), tmp_path / "data", Assignment(task_by="language"), ONE_JOB)
    assert again.was_there


def test_other_parts_are_named(tmp_path, librispeech):
    parts = ("train=train-clean-5", "dev=dev-clean-2")
    corpus = lhotse_corpus("librispeech", librispeech, ("dataset_parts=mini_librispeech",), parts)
    index = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="part"), ONE_JOB).index
    assert counts(index) == {"dev-clean-2": {"dev": 4}, "train-clean-5": {"train": 4}}
    with refused("--part test=test-clear: the corpus has no such part", "did you mean 'test-clean'?"):
        lhotse_corpus("librispeech", librispeech, (), ("test=test-clear",))


def test_a_part_that_is_named_is_no_other(tmp_path, yesno, monkeypatch):
    prepare = recipes.prepare_yesno

    def with_fields_of_its_own(corpus_dir, output_dir=None):
        made = prepare(corpus_dir, output_dir)
        for part in made.values():
            for supervision in part["supervisions"]:
                supervision.custom = {"split": "test", "part": "one"}
        return made

    monkeypatch.setattr(recipes, "prepare_yesno", with_fields_of_its_own)
    corpus = lhotse_corpus("yesno", yesno, parts=("dev=test",))
    index = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="part"), ONE_JOB).index
    assert counts(index) == {"test": {"dev": 30}, "train": {"train": 30}}


def test_without_names_splits_are_drawn(tmp_path, librispeech):
    corpus = lhotse_corpus("librispeech", librispeech, ('dataset_parts=["test-clean", "dev-clean-2"]',))
    index = prepare_corpus(corpus, tmp_path / "data", options=ONE_JOB).index
    assert counts(index) == {speaker: {"train": 2} for speaker in ("1", "2", "21", "22")}


def test_the_same_audio_gives_the_same_features_as_its_folder(tmp_path, librispeech):
    by_recipe = lhotse_corpus("librispeech", librispeech, ("dataset_parts=test-clean",))
    by_folder = folder_corpus(librispeech / "test-clean")
    for name, corpus in (("1", by_recipe), ("2", by_folder)):
        index = prepare_corpus(corpus, tmp_path / name, options=ONE_JOB).index
        assert counts(index) == {"21": {"train": 2}, "22": {"train": 2}}
    archives = [[file.read_bytes() for file in (tmp_path / name / "feats").iterdir()] for name in ("1", "2")]
    assert archives[0] == archives[1]


def test_all_names_are_listed():
    names = recipe_names()
    assert {"librispeech", "librittsr", "yesno", "commonvoice", "aishell2", "ami"} <= set(names)
    assert not {"audio_grouped", "manifests", "part1"} & set(names)
    result = CliRunner().invoke(app, ["lhotse", "--list"])
    assert result.exit_code == 0
    assert result.stdout.split() == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("libri_speech",), ("lhotse has no recipe 'libri_speech'; did you mean 'librispeech'?",)),
        (("yesno", ("parts=1",)), ("--option parts: lhotse's recipe 'yesno' has no such argument",)),
        (("yesno", ("corpus_dir=/",)), ("--option corpus_dir: lhotse's recipe 'yesno' has no such argument",)),
        (("yesno", ("parts",)), ("--option parts: write KEY=VALUE",)),
        (("yesno", (), ("train",)), ("--part train: write SPLIT=PART",)),
        (("yesno", (), ("training=x",)), ("--part training=x: write SPLIT=PART", "train, dev, test")),
        (("yesno", (), ("train=x", "dev=x")), ("--part dev=x: it is train already",)),
        (("heroico",), ("'heroico' needs more than speech_dir", "give --option transcript_dir=…")),
        (("yesno",), ("lhotse's recipe 'yesno' has failed on", "AssertionError")),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, words):
    name, *given = arguments
    with refused("lhotse|--option|--part", *words):
        lhotse_corpus(name, tmp_path, *given)


def test_a_name_of_a_sphere_file_is_no_command(tmp_path, monkeypatch):
    """lhotse itself reads SPHERE files, as TED-LIUM has them, by a command in a shell with their names in it."""
    monkeypatch.chdir(tmp_path)
    name = "a;touch${IFS}sentinel;"
    for part, content in (
        (f"sph/{name}.sph", SPHERE + bytes(2 * 16000)),
        (f"stm/{name}.stm", f"{name} 1 ann 0.0 1.0 <o,f0,male> one two\n".encode()),
    ):
        file = tmp_path / "legacy" / "train" / part
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    cuts, skipped = lhotse_corpus("tedlium", tmp_path, ("dataset_parts=train",)).cuts()
    assert [cut.supervisions[0].text for cut in cuts] == ["one two"]
    assert skipped == []
    assert not (tmp_path / "sentinel").exists()


def test_a_recipe_runs_no_shell(tmp_path, yesno, monkeypatch):
    sentinel = tmp_path / "sentinel"
    prepare = recipes.prepare_yesno

    def with_a_command(corpus_dir, output_dir=None):
        try:
            subprocess.run(f"touch {sentinel}", shell=True, check=True)
        except Exception as error:
            raise ValueError("sox has failed") from error
        return prepare(corpus_dir, output_dir)

    monkeypatch.setattr(recipes, "prepare_yesno", with_a_command)
    with refused("lhotse's recipe 'yesno' has failed", "it runs a shell command", "touch", "--allow-commands"):
        lhotse_corpus("yesno", yesno)
    assert not sentinel.exists()
    lhotse_corpus("yesno", yesno, allow_commands=True)
    assert sentinel.exists()


def test_a_cut_that_cannot_be_is_skipped(tmp_path, yesno, monkeypatch):
    prepare = recipes.prepare_yesno

    def with_one_that_cannot_be(corpus_dir, output_dir=None):
        made = prepare(corpus_dir, output_dir)
        next(iter(made["train"]["recordings"])).sampling_rate = 0
        return made

    monkeypatch.setattr(recipes, "prepare_yesno", with_one_that_cannot_be)
    corpus = lhotse_corpus("yesno", yesno)
    cuts, skipped = corpus.cuts()
    assert len(cuts) == 59
    assert [one.reason for one in skipped] == ["manifest that cannot be used"]
