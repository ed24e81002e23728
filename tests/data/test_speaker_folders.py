"""A folder of recordings, as people have them."""

import os

from builders import refused
from recordings import write_wav

from hra_cli.data.corpora.speaker_folders import folder_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import SPLITS, Assignment

ONE_JOB = PrepareOptions(num_jobs=1)


def write(folder, name, text, seed=0):
    """A recording, and its transcript beside it."""
    file = write_wav(folder / f"{name}.wav", 0.3, seed=seed)
    file.with_suffix(".txt").write_text(text)


def found(corpus_dir):
    """What a folder says of its utterances: text, speaker and fields, by id."""
    cuts, skipped = folder_corpus(corpus_dir).cuts()
    said = ((cut.id, cut.supervisions[0]) for cut in cuts)
    return {id_: (one.text, one.speaker, one.custom or {}) for id_, one in said}, skipped


def reasons(skipped):
    return {one.id: one.reason for one in skipped}


def test_a_folder_for_every_speaker(tmp_path):
    write(tmp_path, "ann/one", "ONE\n")
    write(tmp_path, "ann/monday/two", "TWO\nTHREE")
    write(tmp_path, "bob/one", "\ufeffONE\r\n")
    write_wav(tmp_path / "bob" / "Five.WAV")
    (tmp_path / "bob" / "Five.lab").write_text("FIVE")
    said, skipped = found(tmp_path)
    assert said == {
        "ann/one": ("ONE", "ann", {}),
        "ann/monday/two": ("TWO THREE", "ann", {"folder2": "monday"}),
        "bob/one": ("ONE", "bob", {}),
        "bob/Five": ("FIVE", "bob", {}),
    }
    assert skipped == []


def test_folders_called_train_and_test_are_splits(tmp_path):
    for number, name in enumerate(("train/ann/1", "train/ann/2", "Validation/ann/1", "test/ann/1", "test/bob/1")):
        write(tmp_path / "corpus", name, "ONE", seed=number)
    prepared = prepare_corpus(folder_corpus(tmp_path / "corpus"), tmp_path / "data", options=ONE_JOB)
    counts = {
        task: {split: one.utterances for split, one in splits.items()} for task, splits in prepared.index.tasks.items()
    }
    assert counts == {"ann": {"train": 2, "dev": 1, "test": 1}, "bob": {"test": 1}}


def test_splits_may_be_in_capitals(tmp_path):
    for number, split in enumerate(("Train", "DEV", "Test")):
        write(tmp_path / "corpus", f"{split}/ann/{number}", "ONE", seed=number)
    prepared = prepare_corpus(folder_corpus(tmp_path / "corpus"), tmp_path / "data", options=ONE_JOB)
    assert {split: one.utterances for split, one in prepared.index.tasks["ann"].items()} == dict.fromkeys(SPLITS, 1)


def test_the_layout_of_librispeech(tmp_path):
    chapter = tmp_path / "84" / "121123"
    for index in range(3):
        write_wav(chapter / f"84-121123-{index:04d}.flac")
    lines = ["84-121123-0000 GO ON", "84-121123-0001\tHE  SAID", "84-121123-0009 NOBODY", ""]
    (chapter / "84-121123.trans.txt").write_text("\r\n".join(lines))
    said, skipped = found(tmp_path)
    assert said == {
        "84/121123/84-121123-0000": ("GO ON", "84", {"folder2": "121123"}),
        "84/121123/84-121123-0001": ("HE SAID", "84", {"folder2": "121123"}),
    }
    assert reasons(skipped) == {
        "84/121123/84-121123-0002": "no transcript",
        "84/121123/84-121123-0009": "transcript without a recording",
    }


def test_what_cannot_be_used_is_named(tmp_path):
    write(tmp_path, "ann/good", "ONE")
    write_wav(tmp_path / "ann" / "silent.wav")
    write_wav(tmp_path / "ann" / "good.flac")
    (tmp_path / "ann" / "lost.txt").write_text("TWO")
    (tmp_path / "ann" / "notes.pdf").write_text("neither a recording nor a transcript")
    write(tmp_path, "ann/latin", "X")
    (tmp_path / "ann" / "latin.txt").write_bytes(b"\xe9T\xc9")
    write(tmp_path, "ann/long", "A" * (1 << 21))
    write(tmp_path, "ann/broken", "ONE")
    (tmp_path / "ann" / "broken.wav").write_text("no audio")
    write(tmp_path, "bob/.hidden", "ONE")
    for number in range(2):
        write_wav(tmp_path / "bob" / f"{number}.wav")
    (tmp_path / "bob" / "b.trans.txt").write_bytes(b"0 ONE\n0 TWO\n1 TWO\n1 TWO\n\xff \xff\n")
    said, skipped = found(tmp_path)
    assert set(said) == {"ann/good", "bob/1"}
    assert reasons(skipped) == {
        "ann/good.wav": "another recording of the same name",
        "ann/silent": "no transcript",
        "ann/lost.txt": "transcript without a recording",
        "ann/latin": "unreadable transcript",
        "ann/long": "unreadable transcript",
        "ann/broken": "unreadable recording",
        "bob/0": "two transcripts that differ",
        "bob/b.trans.txt": "unreadable transcripts",
    }


def test_links_are_followed_and_never_without_end(tmp_path):
    write(tmp_path / "elsewhere", "one", "ONE")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "ann").symlink_to(tmp_path / "elsewhere")
    (corpus / "bob").symlink_to("ann")
    (corpus / "eve").mkdir()
    (corpus / "eve" / "up").symlink_to("..")
    (corpus / "eve" / "round.wav").symlink_to("round.wav")
    (corpus / "eve" / "nowhere.txt").symlink_to("nothing")
    os.mkfifo(corpus / "eve" / "pipe.wav")
    os.mkfifo(corpus / "eve" / "pipe.txt")
    said, skipped = found(corpus)
    assert set(said) == {"ann/one"}
    assert reasons(skipped) == {
        "bob": "a folder that is in the corpus twice",
        "eve/up": "a folder that is in the corpus twice",
        "eve/round.wav": "no regular file",
        "eve/nowhere.txt": "no regular file",
        "eve/pipe.wav": "no regular file",
        "eve/pipe.txt": "no regular file",
    }


def test_names_that_are_odd(tmp_path):
    write(tmp_path, "ann/a b;$(touch x)`", "ONE")
    write(tmp_path, "ann/\x1b[31m", "ONE")
    write(tmp_path, "ann/two", "TWO")
    (tmp_path / "ann" / "two.wav").rename(tmp_path / "ann" / "\udcff.wav")
    said, skipped = found(tmp_path)
    assert set(said) == {"ann/a b;$(touch x)`"}
    assert reasons(skipped) == {
        "ann/\udcff.wav": "a name that is no UTF-8",
        "ann/\x1b[31m": "id with control characters",
        "ann/two.txt": "transcript without a recording",
    }
    prepared = prepare_corpus(folder_corpus(tmp_path), tmp_path / "data", options=ONE_JOB)
    assert prepared.index.tasks["ann"]["train"].utterances == 1


def test_what_has_no_recordings_is_refused(tmp_path):
    with refused("no such folder", "ann"):
        folder_corpus(tmp_path / "ann")
    with refused("no recordings in", "ann/x.wav"):
        folder_corpus(tmp_path)


def test_recordings_without_a_folder_need_a_task(tmp_path):
    for number in range(2):
        write(tmp_path / "corpus", str(number), "ONE", seed=number)
    corpus = folder_corpus(tmp_path / "corpus")
    with refused("--task-by speaker: no utterance has it", "--task-by constant:NAME makes one task of all"):
        prepare_corpus(corpus, tmp_path / "data", options=ONE_JOB)
    prepared = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="constant:me"), ONE_JOB)
    assert prepared.index.names == ["me"]


def test_another_transcript_is_another_corpus(tmp_path):
    write(tmp_path / "corpus", "ann/1", "ONE")
    prepare_corpus(folder_corpus(tmp_path / "corpus"), tmp_path / "data", options=ONE_JOB)
    assert prepare_corpus(folder_corpus(tmp_path / "corpus"), tmp_path / "data", options=ONE_JOB).was_there
    write(tmp_path / "corpus", "ann/1", "TWO")
    with refused("prepared with other arguments", "transcripts-sha256"):
        prepare_corpus(folder_corpus(tmp_path / "corpus"), tmp_path / "data", options=ONE_JOB)
