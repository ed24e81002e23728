import collections
import errno
import os
import random
import re
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from builders import refused
from cut_lists import cuts_by_task, read_cuts
from dask_workers import dask_workers
from lhotse import AudioSource, CutSet, SupervisionSegment
from lhotse.utils import fastcopy
from recordings import make_cut, write_wav

from hra_cli.data.assignment import draw_splits
from hra_cli.data.audio import mono_audio
from hra_cli.data.corpora.fsdd import fsdd_cuts
from hra_cli.data.cut_store import CutStore
from hra_cli.data.features import fbank
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.preparation import prepare
from hra_cli.data.splits import RandomSplit
from hra_cli.data.task_index import load_tasks
from hra_cli.data.text_form import TextOptions
from hra_cli.errors import HraError
from hra_cli.io.lock import one_writer

ARGUMENTS = {"corpus": "test", "seed": 1}


def prepare_here(cuts, output_dir, **options):
    """Prepares in this process, with every cut in task 'all' unless it says otherwise."""
    placed = [fastcopy(cut, custom={"task": "all", "split": "train", **(cut.custom or {})}) for cut in cuts]
    return prepare(CutSet.from_cuts(placed), output_dir, ARGUMENTS, **{"num_jobs": 1, **options})


def splits_of(cuts):
    return {cut.id: cut.custom["split"] for cut in cuts}


def files_and_times(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def numbers_of(index):
    """What does not depend on the folder's name, as the paths in its manifests do."""
    return {
        task: {split: replace(one, sha256=None) for split, one in index.splits(task).items()} for task in index.names
    }


def skipped_lines(folder):
    return [line.split("\t") for line in (folder / "skipped.tsv").read_text().splitlines()[1:]]


# --- tasks and splits


def test_tasks_by_speaker_field_and_constant(corpus):
    def tasks(task_by, cuts=corpus):
        return {cut.id: cut.custom["task"] for cut in cuts_by_task(cuts, task_by)[0]}

    assert tasks("speaker")["bob-3"] == "bob"
    assert set(tasks("constant:everyone").values()) == {"everyone"}
    on_cut = CutSet.from_cuts(fastcopy(cut, custom={"accent": "cut"}) for cut in corpus)
    assert tasks("custom.accent", on_cut)["ann-0"] == "cut"
    for cut in on_cut:
        cut.supervisions[0].custom = {"accent": "supervision"}
    assert tasks("custom.accent", on_cut)["ann-0"] == "supervision"


def test_cuts_without_the_field_are_skipped(corpus):
    cuts = list(corpus)
    cuts[0].supervisions[0].speaker = None
    kept, skipped = cuts_by_task(CutSet.from_cuts(cuts), "speaker")
    assert len(kept) == 11
    assert [(one.id, one.reason) for one in skipped] == [("ann-0", "no speaker")]


def test_a_field_that_no_cut_has_is_refused_with_those_there_are(corpus):
    with refused("--task-by custom.accent: no utterance has it", "known: ", "speaker"):
        cuts_by_task(corpus, "custom.accent")
    for cut in corpus:
        cut.supervisions[0].custom = {"accents": "fr"}
    with refused("--split-by accent: no utterance has it; did you mean 'accents'?"):
        cuts_by_task(corpus, "accents", split_by="accent")
    assert {cut.custom["task"] for cut in cuts_by_task(corpus, "accents")[0]} == {"fr"}


@pytest.mark.parametrize("task_by", ["custom.", "constant:", "file:", ""])
def test_a_malformed_task_by_is_refused(corpus, task_by):
    with refused(f"--task-by {task_by!r} is none of: speaker, gender, language", "custom.FIELD", "file:FILE"):
        cuts_by_task(corpus, task_by)


def test_tasks_and_splits_by_a_file(corpus, tmp_path):
    tasks, splits = tmp_path / "utt2task", tmp_path / "utt2split"
    tasks.write_text("".join(f"ann-{number} first task\n\n" for number in range(6)) + "bob-0\tsecond\r\n")
    splits.write_text("ann-0 TEST\nann-1 Validation\nann-2 Train\nann-3 elsewhere\nbob-0 train\n")
    kept, skipped = cuts_by_task(corpus, f"file:{tasks}", split_by=f"file:{splits}")
    assert {cut.id: (cut.custom["task"], cut.custom["split"]) for cut in kept} == {
        "ann-0": ("first task", "test"),
        "ann-1": ("first task", "dev"),
        "ann-2": ("first task", "train"),
        "bob-0": ("second", "train"),
    }
    assert collections.Counter(one.reason for one in skipped) == {
        f"no file:{tasks}": 5,
        f"no file:{splits}": 2,
        f"file:{splits} is not train, dev or test": 1,
    }


def test_utterances_with_spaces_in_their_names_have_a_tab_after_them(corpus, tmp_path):
    tasks = tmp_path / "tasks.txt"
    tasks.write_bytes(b"\xef\xbb\xbftake 1\tquiet room\r\n take 2 \t street\n")
    cuts = [fastcopy(cut, id=f"take {number}") for number, cut in enumerate(corpus.subset(first=2), 1)]
    kept, skipped = cuts_by_task(cuts, f"file:{tasks}")
    assert {cut.id: cut.custom["task"] for cut in kept} == {"take 1": "quiet room", "take 2": "street"}
    assert not skipped


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ann-0 one\nann-1\n", "line 2: there is nothing after 'ann-1'"),
        (b"ann-0 one\nann-0 two\n", "line 2: 'ann-0' is 'two' here and 'one' above"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"nobody one\n", "no utterance is in it; one is called 'ann-0'"),
    ],
)
def test_a_file_of_tasks_that_cannot_be_used_is_named(corpus, tmp_path, content, words):
    (tmp_path / "utt2task").write_bytes(content)
    with refused(re.escape(str(tmp_path / "utt2task")), words):
        cuts_by_task(corpus, f"file:{tmp_path / 'utt2task'}")


def test_a_file_of_tasks_that_is_not_there_is_named(corpus, tmp_path):
    with refused("--task-by: no such file: .*nowhere"):
        cuts_by_task(corpus, f"file:{tmp_path / 'nowhere'}")


def test_splits_as_the_cuts_say(tmp_path):
    said = ["train", "dev", "test", "Validation", "other", None]
    cuts = CutSet.from_cuts(
        make_cut(write_wav(tmp_path / f"{number}.wav"), **({"part": part} if part else {}))
        for number, part in enumerate(said)
    )
    kept, skipped = cuts_by_task(cuts, "speaker", split_by="custom.part")
    assert splits_of(kept) == {"0": "train", "1": "dev", "2": "test", "3": "dev"}
    assert [(one.id, one.reason) for one in skipped] == [
        ("4", "custom.part is not train, dev or test"),
        ("5", "no custom.part"),
    ]


def test_splits_by_fraction_depend_on_the_seed_and_ids_alone(corpus):
    def split(cuts, seed=7):
        kept, _ = cuts_by_task(CutSet.from_cuts(cuts), "speaker")
        return splits_of(draw(kept, RandomSplit(0.3, 0.2, seed)))

    cuts = list(corpus)
    expected = split(cuts)
    for task in ("ann", "bob"):
        counts = collections.Counter(part for name, part in expected.items() if name.startswith(task))
        assert counts == {"test": 2, "dev": 1, "train": 3}
    random.Random(0).shuffle(cuts)
    assert split(cuts) == expected
    # The other task's cuts do not matter.
    anns = {name: part for name, part in expected.items() if name.startswith("ann")}
    assert split([cut for cut in cuts if cut.id.startswith("ann")]) == anns
    assert any(split(cuts, seed) != expected for seed in range(5))


def test_small_tasks_keep_something_to_train_on(corpus):
    def counts(number, test_fraction, dev_fraction):
        cuts = CutSet.from_cuts(list(corpus)[:number])
        kept, _ = cuts_by_task(cuts, "speaker")
        return dict(collections.Counter(splits_of(draw(kept, RandomSplit(test_fraction, dev_fraction))).values()))

    assert counts(2, 0.1, 0.1) == {"train": 2}
    assert counts(3, 0.1, 0.1) == {"test": 1, "dev": 1, "train": 1}
    assert counts(3, 0.9, 0.09) == {"test": 1, "dev": 1, "train": 1}
    assert counts(3, 0, 0) == {"train": 3}
    assert counts(6, 0.5, 0) == {"test": 3, "train": 3}


def draw(cuts, random_split):
    """The cuts with their splits."""
    store = CutStore.of(cuts)
    draw_splits(store, random_split)
    return list(store)


def with_speakers(cuts, speakers, task):
    """The cuts by turns of the speakers, all of one task."""
    placed = [fastcopy(cut, custom={"task": task}) for cut in cuts]
    for number, cut in enumerate(placed):
        cut.id = f"{task}-{cut.id}"
        cut.supervisions = [fastcopy(cut.supervisions[0], speaker=speakers[number % len(speakers)])]
    return placed


def test_no_speaker_is_in_two_splits(corpus):
    cuts = with_speakers(corpus, "abcdef", "first") + with_speakers(corpus, "efgh", "second")
    random_split = RandomSplit(0.2, 0.2, split_speakers=True)

    def drawn(cuts):
        of_speaker = collections.defaultdict(set)
        for cut in draw(cuts, random_split):
            of_speaker[cut.supervisions[0].speaker].add(cut.custom["split"])
        return of_speaker

    found = drawn(cuts)
    assert all(len(splits) == 1 for splits in found.values())
    for task in ("first", "second"):
        members = [cut for cut in draw(cuts, random_split) if cut.custom["task"] == task]
        assert {cut.custom["split"] for cut in members} == {"train", "dev", "test"}
    random.Random(0).shuffle(cuts)
    assert drawn(cuts) == found
    assert {*map(str, drawn(with_speakers(corpus, "ab", "first")).values())} == {"{'train'}"}  # too few to split
    cuts[0].supervisions[0].speaker = None
    with refused(f"--split-speakers: the speaker of '{cuts[0].id}' is not known"):
        drawn(cuts)


def test_dev_is_drawn_from_train_where_the_splits_are_given_without(corpus):
    cuts = [fastcopy(cut, custom={"task": "all", "split": "train"}) for cut in corpus]
    for cut in cuts[:2]:
        cut.custom["split"] = "test"
    random_split = RandomSplit(0.0, 0.2, dev_of_train=True)
    for _ in range(2):  # a second time, among those that are left, it is the same
        cuts = draw(cuts, random_split)
        assert collections.Counter(cut.custom["split"] for cut in cuts) == {"train": 8, "dev": 2, "test": 2}
    assert [cut.id for cut in cuts if cut.custom["split"] == "test"] == ["ann-0", "ann-1"]


@pytest.mark.parametrize("fractions", [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (float("nan"), 0.1)])
def test_fractions_that_leave_nothing_are_refused(fractions):
    with pytest.raises(HraError, match="--test-fraction"):
        RandomSplit(*fractions)


def test_cuts_are_trimmed_to_their_supervisions(tmp_path):
    cut = make_cut(write_wav(tmp_path / "long.wav", seconds=3))
    cut.supervisions = [
        SupervisionSegment("first", "long", 0.0, 1.0, text="ONE", speaker="ann"),
        SupervisionSegment("second", "long", 0.5, 1.0, text="TWO", speaker="bob"),
        SupervisionSegment("beyond", "long", 5.0, 1.0, text="SIX", speaker="bob"),
    ]
    empty = fastcopy(cut, id="empty", supervisions=[])
    kept, skipped = cuts_by_task(CutSet.from_cuts([cut, empty]), "speaker")
    assert [(one.id, one.start, one.duration, one.custom["task"]) for one in kept] == [
        ("first", 0.0, 1.0, "ann"),
        ("second", 0.5, 1.0, "bob"),
    ]
    assert all(len(one.supervisions) == 1 for one in kept)
    assert [(one.id, one.reason) for one in skipped] == [
        ("beyond", "supervision outside its cut"),
        ("empty", "no supervision"),
    ]


def test_ids_that_occur_twice_are_refused(corpus, tmp_path):
    cuts, _ = cuts_by_task([*corpus, next(iter(corpus))], "speaker")
    with refused("CORPUS: 1 cut ids occur more than once, such as 'ann-0'"):
        prepare(cuts, tmp_path / "data", {}, corpus="CORPUS", random_split=RandomSplit())
    assert not (tmp_path / "data").exists()


def test_reading_a_manifest(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    assert len(read_cuts(tmp_path / "cuts.jsonl.gz")) == 12
    corpus.decompose(tmp_path)
    with pytest.raises(HraError, match=r"recordings\.jsonl\.gz, line 1 is not a cut but a recording"):
        read_cuts(tmp_path / "recordings.jsonl.gz")
    (tmp_path / "text.jsonl").write_text("hello\n")
    with pytest.raises(HraError, match=r"text\.jsonl, line 1 is damaged"):
        read_cuts(tmp_path / "text.jsonl")
    with pytest.raises(HraError, match="no such cut manifest"):
        read_cuts(tmp_path / "nowhere.jsonl.gz")


# --- the data folder


def test_a_part_of_fsdd(tmp_path, shared):
    for path in sorted((shared / "data" / "fsdd" / "recordings").iterdir()):
        digit, speaker, index = path.stem.split("_")
        if digit in "37" and speaker in ("theo", "george") and int(index) in (0, 5, 10, 11):
            (tmp_path / "corpus").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "corpus")
    cuts, _ = fsdd_cuts(tmp_path / "corpus")
    index = prepare(cuts, tmp_path / "data", ARGUMENTS, num_jobs=1)
    assert index == load_tasks(tmp_path / "data")
    assert index.names == ["george", "theo"]
    entries = index.splits("theo")
    assert [(split, entry.utterances, entry.words) for split, entry in entries.items()] == [
        ("train", 4, 4),
        ("dev", 2, 2),
        ("test", 2, 2),
    ]
    test = list(index.cuts("theo", "test"))
    assert [cut.id for cut in test] == ["3_theo_0", "7_theo_0"]
    assert entries["test"].seconds == pytest.approx(sum(cut.duration for cut in test), abs=1e-3)
    for cut in test:
        assert cut.custom["task"] == "theo"
        assert cut.sampling_rate == 16000
        assert cut.load_features().shape == (cut.num_frames, 80)
    for name in ("recordings", "supervisions", "cuts"):
        assert (tmp_path / "data" / f"{name}.jsonl.gz").is_file()
    assert len(read_cuts(tmp_path / "data" / "cuts.jsonl.gz")) == 16


def test_the_folder_is_readable_from_anywhere(tmp_path, corpus, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = CutSet.from_cuts(make_cut(os.path.relpath(cut.recording.sources[0].source)) for cut in list(corpus)[:2])
    prepare_here(relative, (tmp_path / "data").relative_to(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cut = next(iter(load_tasks(tmp_path / "data").cuts("all", "train")))
    assert cut.load_features().shape[1] == 80
    assert cut.load_audio().shape == (1, 4800)


def test_stereo_at_44_khz_becomes_mono_at_16(tmp_path):
    path = write_wav(tmp_path / "stereo.wav", seconds=1.0, rate=44100, channels=2)
    index = prepare_here([make_cut(path)], tmp_path / "data")
    cut = next(iter(index.cuts("all", "train")))
    assert cut.load_features().shape == (100, 80)
    # The same as that of a file which holds the mean of the channels.
    samples, rate = soundfile.read(path)
    soundfile.write(tmp_path / "mono.wav", samples.mean(axis=1), rate, subtype="FLOAT")
    mono = make_cut(tmp_path / "mono.wav").resample(16000)
    np.testing.assert_allclose(cut.load_features(), mono.compute_features(fbank()), atol=0.05)


def test_a_rerun_does_nothing(tmp_path, corpus):
    index = prepare_here(corpus, tmp_path / "data")
    before = files_and_times(tmp_path / "data")
    assert prepare_here(corpus, tmp_path / "data") == index
    assert files_and_times(tmp_path / "data") == before


def test_a_rerun_with_other_arguments_is_refused(tmp_path, corpus, bpe_model):
    prepare_here(corpus, tmp_path / "data")
    before = files_and_times(tmp_path / "data")
    with pytest.raises(HraError, match=r"on-the-fly was false and is now true.* choose another --output-dir"):
        prepare_here(corpus, tmp_path / "data", on_the_fly=True)
    with pytest.raises(HraError, match="tokenizer-sha256 was null and is now"):
        prepare_here(corpus, tmp_path / "data", tokenizer=load_tokenizer(bpe_model))
    with pytest.raises(HraError, match=r"\(seed was 1 and is now 2\)"):
        prepare(corpus, tmp_path / "data", {**ARGUMENTS, "seed": 2})
    assert files_and_times(tmp_path / "data") == before


def test_what_cannot_be_used_is_counted_and_listed(tmp_path, bpe_model):
    def wav(name, **options):
        return write_wav(tmp_path / f"{name}.wav", **options)

    good = wav("good")
    truncated, text, gone = wav("truncated"), wav("text"), wav("gone")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    flac = tmp_path / "flac.flac"
    soundfile.write(flac, soundfile.read(good)[0], 8000)
    cuts = [
        make_cut(good),
        make_cut(truncated),
        make_cut(text),
        make_cut(gone),
        make_cut(flac),
        make_cut(tmp_path / "nan.wav"),
        make_cut(wav("short", seconds=0.09)),
        make_cut(wav("nothing", seconds=0)),
        make_cut(wav("mute"), text="  "),
        make_cut(wav("silent"), text=None),
        make_cut(wav("strange"), text="ÜNE"),
    ]
    os.truncate(truncated, truncated.stat().st_size // 2)
    os.truncate(flac, flac.stat().st_size // 2)
    text.write_text("no audio")
    gone.unlink()
    index = prepare_here(cuts, tmp_path / "data", tokenizer=load_tokenizer(bpe_model))
    assert index.skipped == {
        "characters the tokenizer lacks": 1,
        "empty transcript": 2,
        "too short": 2,
        "unreadable recording": 5,
    }
    assert [cut.id for cut in index.cuts("all", "train")] == ["good"]
    listed = {name: (reason, detail) for name, reason, detail in skipped_lines(tmp_path / "data")}
    assert {name for name, (reason, _) in listed.items() if reason == "unreadable recording"} == {
        "truncated",
        "text",
        "gone",
        "flac",
        "nan",
    }
    assert str(truncated) in listed["truncated"][1]
    assert listed["strange"] == ("characters the tokenizer lacks", "Ü")
    assert load_tasks(tmp_path / "data") == index


def test_a_wav_cut_off_before_its_manifest_was_made_is_found(tmp_path):
    good, truncated = write_wav(tmp_path / "good.wav"), write_wav(tmp_path / "truncated.wav")
    os.truncate(truncated, truncated.stat().st_size // 2)
    index = prepare_here([make_cut(good), make_cut(truncated)], tmp_path / "data")
    assert index.skipped == {"unreadable recording": 1}


def test_nothing_usable_is_an_error(tmp_path):
    cut = make_cut(write_wav(tmp_path / "a.wav"), text="")
    with pytest.raises(HraError, match=r"1 × empty transcript; see .*skipped\.tsv"):
        prepare_here([cut], tmp_path / "data")
    assert skipped_lines(tmp_path / "data") == [["a", "empty transcript", ""]]
    with pytest.raises(HraError, match="there are no cuts"):
        prepare_here([], tmp_path / "other")
    assert not (tmp_path / "data" / "tasks.json").exists()


def test_the_number_of_jobs_does_not_matter(tmp_path):
    # More than one chunk, so that both workers have something to do.
    cuts = [make_cut(write_wav(tmp_path / "audio" / f"{n:03}.wav", 0.2, seed=n)) for n in range(120)]
    (tmp_path / "audio" / "007.wav").write_text("no audio")
    one = prepare_here(cuts, tmp_path / "one", num_jobs=1)
    two = prepare_here(cuts, tmp_path / "two", num_jobs=2)
    assert (numbers_of(two), two.skipped) == (numbers_of(one), one.skipped)
    assert one.skipped == {"unreadable recording": 1}
    archives = sorted(path.name for path in (tmp_path / "one" / "feats").iterdir())
    assert len(archives) == 2
    for name in archives:
        assert (tmp_path / "one" / "feats" / name).read_bytes() == (tmp_path / "two" / "feats" / name).read_bytes()
    for ours, theirs in zip(one.cuts("all", "train"), two.cuts("all", "train")):
        assert ours.id == theirs.id
        np.testing.assert_array_equal(ours.load_features(), theirs.load_features())


def test_on_a_cluster_a_worker_that_is_killed_costs_nothing(tmp_path):
    pytest.importorskip("psutil")
    pytest.importorskip("distributed")
    cuts = [make_cut(write_wav(tmp_path / "audio" / f"{n:03}.wav", 0.2, seed=n)) for n in range(450)]
    folder = tmp_path / "data"
    prepare_here(cuts, folder)
    expected = contents(folder)
    shutil.rmtree(folder)
    killed = []

    def kill_at_the_first_archive():
        while not list(folder.glob("feats/feats-*.lca")):
            time.sleep(0.005)
        worker = dask_workers()[0]
        worker.kill()
        killed.append(worker.pid)

    killer = threading.Thread(target=kill_at_the_first_archive)
    killer.start()
    prepare_here(cuts, folder, cluster="local:1")
    killer.join()
    assert killed
    assert contents(folder) == expected


def test_audio_that_kills_every_worker_is_named(tmp_path):
    pytest.importorskip("distributed")
    import dask

    cuts = [make_cut(write_wav(tmp_path / "audio" / f"{n}.wav", 0.2, seed=n)) for n in range(2)]
    deadly = AudioSource(type="command", channels=[0], source="kill -9 $PPID")
    cuts[1].recording.sources = [deadly]
    message = "the audio of the cuts from '0' to '1' failed on the cluster: the workers .* have died"
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), refused(message):
        prepare_here(cuts, tmp_path / "data", cluster="local:1", allow_commands=True)


def test_a_cluster_that_is_not_there_is_noticed_before_anything_is_read(tmp_path):
    def cuts():
        raise AssertionError("read")
        yield

    with refused("--cluster nowhere.json: no such file"):
        prepare(cuts(), tmp_path / "data", ARGUMENTS, cluster="nowhere.json")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_run_is_started_over(tmp_path, corpus, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self):
        raise Killed

    data = tmp_path / "data"
    data.mkdir()
    (data / "notes.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("hra_cli.data.task_index.TaskIndex.save", killed)
        with pytest.raises(Killed):
            prepare_here(corpus, data)
    # As it would be left by a run over more cuts, killed while it wrote the index.
    (data / "feats" / "feats-000009.lca").write_bytes(b"half")
    (data / "feats" / "mine.lca").write_bytes(b"mine")
    (data / "cuts" / "gone").mkdir()
    (data / "cuts" / "gone" / "dev.jsonl.gz").write_bytes(b"half")
    (data / ".0123abcd.tasks.json").write_text("{")
    with pytest.raises(HraError, match="no prepared data folder"):
        load_tasks(data)

    index = prepare_here(corpus, data)
    assert index.names == ["all"]
    assert len(index.cuts("all", "train")) == 12
    left = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert left == {
        "notes.txt",
        "feats/mine.lca",
        "feats/feats-000000.lca",
        "cuts/all/train.jsonl.gz",
        "recordings.jsonl.gz",
        "supervisions.jsonl.gz",
        "features.jsonl.gz",
        "cuts.jsonl.gz",
        "tasks.json",
    }


def test_files_of_others_are_not_overwritten(tmp_path, corpus):
    (tmp_path / "data").mkdir()
    corpus.to_file(tmp_path / "data" / "cuts.jsonl.gz")
    before = files_and_times(tmp_path / "data")
    with pytest.raises(HraError, match=r"cuts\.jsonl\.gz exists and was not written by `hra prepare`"):
        prepare_here(corpus, tmp_path / "data")
    assert files_and_times(tmp_path / "data") == before


def test_bad_places_and_names_are_refused(tmp_path, corpus):
    (tmp_path / "file").write_text("")
    with pytest.raises(HraError, match=r"cannot write .*file"):
        prepare_here(corpus, tmp_path / "file")
    os.symlink(tmp_path / "there", tmp_path / "back")
    os.symlink(tmp_path / "back", tmp_path / "there")
    with refused("cannot write .*back: "):
        prepare_here(corpus, tmp_path / "back")
    with refused("cannot write .*xxx: File name too long"):
        prepare_here(corpus, tmp_path / ("x" * 300))
    with refused("no such cut manifest"):
        read_cuts(tmp_path / ("x" * 300 + ".jsonl"))
    with refused("no prepared data folder"):
        load_tasks(tmp_path / ("x" * 300))
    kept, _ = cuts_by_task(corpus, "constant:a/b")
    with pytest.raises(HraError, match="'a/b' contains a slash"):
        prepare(kept, tmp_path / "data", ARGUMENTS)
    assert not (tmp_path / "data").exists()
    with pytest.raises(HraError, match="--num-jobs 0"):
        prepare_here(corpus, tmp_path / "data", num_jobs=0)


# --- what a supervision is about


def with_supervision(cut, **changes):
    (supervision,) = cut.supervisions
    return fastcopy(cut, supervisions=[fastcopy(supervision, **changes)])


def test_a_cut_with_one_supervision_is_trimmed_to_it(tmp_path):
    cut = with_supervision(make_cut(write_wav(tmp_path / "long.wav", seconds=3)), id="word", start=1.0, duration=0.5)
    kept, skipped = cuts_by_task(CutSet.from_cuts([cut]), "speaker")
    assert skipped == []
    # Under the name that it had: nothing is told apart by the supervision's.
    assert [(one.id, one.start, one.duration) for one in kept] == [("long", 1.0, 0.5)]
    index = prepare_here(kept, tmp_path / "data")
    (prepared,) = index.cuts("ann", "train")
    assert prepared.load_features().shape == (50, 80)
    assert index.splits("ann")["train"].seconds == 0.5


def test_a_cut_that_its_supervision_covers_stays_as_it_is(corpus):
    # Manifests often round times to milliseconds.
    cuts = [with_supervision(cut, start=0.0005, duration=cut.duration - 0.001) for cut in corpus]
    kept, _ = cuts_by_task(CutSet.from_cuts(cuts), "speaker")
    assert [(one.id, one.start, one.duration) for one in kept] == [(one.id, 0.0, one.duration) for one in corpus]


def test_only_the_supervisions_channel_of_a_call_is_used(tmp_path):
    rate = 16000
    ann, bob = np.full(rate, 0.5), np.full(rate, -0.25)
    soundfile.write(tmp_path / "call.wav", np.stack([ann, bob], axis=1), rate, subtype="FLOAT")
    call = make_cut(tmp_path / "call.wav")
    assert call.channel == [0, 1]
    for channel, expected in ((0, 0.5), (1, -0.25), ([0, 1], 0.125)):
        (cut,), skipped = cuts_by_task(CutSet.from_cuts([with_supervision(call, channel=channel)]), "speaker")
        assert skipped == []
        np.testing.assert_allclose(mono_audio(cut), np.full((1, rate), expected), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": -0.1}, "supervision outside its cut"),
        ({"start": 0.2}, "supervision outside its cut"),
        ({"start": 5.0}, "supervision outside its cut"),
        ({"duration": 0.6}, "supervision outside its cut"),
        ({"duration": 0.0}, "supervision outside its cut"),
        ({"duration": -0.3}, "supervision outside its cut"),
        ({"channel": 1}, "supervision of a channel that its cut lacks"),
        ({"channel": []}, "supervision of a channel that its cut lacks"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_a_supervision_that_is_not_in_its_cut_is_skipped(tmp_path, changes, reason, alone):
    good = make_cut(write_wav(tmp_path / "call.wav", seconds=0.5))
    bad = with_supervision(good, **changes)
    if not alone:
        bad.supervisions = [*bad.supervisions, fastcopy(good.supervisions[0], id="good")]
    kept, skipped = cuts_by_task(CutSet.from_cuts([bad]), "speaker")
    assert [one.reason for one in skipped] == [reason]
    assert [one.id for one in kept] == ([] if alone else ["good"])


def test_a_supervision_some_milliseconds_too_long_ends_with_its_cut(tmp_path):
    cut = with_supervision(make_cut(write_wav(tmp_path / "a.wav", seconds=0.5)), start=0.25, duration=0.26)
    (kept,), skipped = cuts_by_task(CutSet.from_cuts([cut]), "speaker")
    assert (kept.start, kept.duration, skipped) == (0.25, 0.25, [])


def test_a_cut_beyond_its_recording_is_skipped(tmp_path):
    cut = make_cut(write_wav(tmp_path / "a.wav", seconds=0.5))
    cut.start = 0.3
    kept, skipped = cuts_by_task(CutSet.from_cuts([cut]), "speaker")
    assert ([one.reason for one in skipped], len(kept)) == (["cut outside its recording"], 0)


# --- splits of what can be used


def test_splits_are_drawn_among_what_can_be_used(tmp_path, corpus):
    kept = draw(cuts_by_task(corpus, "speaker")[0], RandomSplit())
    lost = [cut for cut in kept if cut.custom["split"] != "train"]
    assert len(lost) == 4
    for cut, spoil in zip(lost, ("text", "audio", "audio", "text")):
        if spoil == "text":
            cut.supervisions[0].text = ""
        else:
            os.truncate(cut.recording.sources[0].source, 0)
    for perturb_speed in (False, True):
        index = prepare(
            CutSet.from_cuts(fastcopy(cut, custom={"task": cut.custom["task"]}) for cut in kept),
            tmp_path / f"data-{perturb_speed}",
            ARGUMENTS,
            random_split=RandomSplit(),
            perturb_speed=perturb_speed,
            num_jobs=1,
        )
        assert index.skipped == {"empty transcript": 2, "unreadable recording": 2}
        for task in ("ann", "bob"):
            numbers = {split: entry.utterances for split, entry in index.splits(task).items()}
            assert numbers == {"train": 6 if perturb_speed else 2, "dev": 1, "test": 1}
            for split in numbers:
                for cut in index.cuts(task, split):
                    assert cut.load_features().shape == (cut.num_frames, 80)


# --- transcripts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one two", "lower-case letters, which the tokenizer lacks"),
        ("ONE, TWO.", "punctuation, which the tokenizer lacks"),
        ("One, two.", "lower-case letters and punctuation, which the tokenizer lacks"),
        ("ÜNE", "characters the tokenizer lacks"),
        ("ONE 2", "digits or symbols, which the tokenizer lacks"),
        ("One, 2 %.", "digits or symbols, which the tokenizer lacks"),
        ("€", "digits or symbols, which the tokenizer lacks"),
        (["ONE"], "transcript that is no text"),
        (12, "transcript that is no text"),
    ],
)
def test_a_transcript_in_another_form_is_skipped_with_its_reason(tmp_path, bpe_model, text, reason):
    good, bad = (make_cut(write_wav(tmp_path / f"{name}.wav")) for name in ("good", "bad"))
    bad.supervisions[0].text = text
    options = {"tokenizer": load_tokenizer(bpe_model), "text": TextOptions("keep")}
    index = prepare_here([good, bad], tmp_path / "data", **options)
    assert index.skipped == {reason: 1}
    assert [(row[0], row[1]) for row in skipped_lines(tmp_path / "data")] == [("bad", reason)]


def test_what_to_do_about_transcripts_in_another_case_is_said(tmp_path, corpus, bpe_model):
    for cut in corpus:
        cut.supervisions[0].text = "one two"
    next(iter(corpus)).supervisions[0].text = ""
    with refused(
        "the tokenizer is upper case, 92 % of the transcripts have lower-case letters: prepare with --text-case upper",
        tmp_path / "data" / "skipped.tsv",
    ):
        prepare_here(corpus, tmp_path / "data", tokenizer=load_tokenizer(bpe_model), text=TextOptions("keep"))
    assert len(skipped_lines(tmp_path / "data")) == 12


# --- one writer


def test_a_folder_that_another_process_is_writing_is_left_alone(tmp_path, corpus):
    index = prepare_here(corpus, tmp_path / "data")
    before = files_and_times(tmp_path / "data")
    with one_writer(tmp_path / "data"), refused(f"process {os.getpid()} on .* is writing .*data"):
        prepare_here(corpus, tmp_path / "data")
    assert files_and_times(tmp_path / "data") == before
    assert prepare_here(corpus, tmp_path / "data") == index


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, corpus):
    data = tmp_path / "data"
    data.mkdir()
    (data / ".0123abcd.skipped.tsv").write_text("half")
    (data / ".mine").write_text("mine")
    prepare_here(corpus, data)
    assert {path.name for path in data.iterdir() if path.name.startswith(".")} == {".mine"}


def test_a_full_disk_is_one_line(tmp_path, corpus, monkeypatch):
    def full(self, key, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hra_cli.data.chunk_archive.LilcomChunkyWriter.write", full)
    with refused("cannot write .*feats/feats-000000.lca: No space left on device"):
        prepare_here(corpus, tmp_path / "data")
    assert not list((tmp_path / "data" / "feats").iterdir())


def test_folders_whose_names_are_no_text_are_refused_by_name(tmp_path, monkeypatch):
    data, audio = tmp_path / "data\udce9", tmp_path / "audio\udce9"
    cut = make_cut(write_wav(tmp_path / "audio" / "a.wav"))
    (tmp_path / "audio").rename(audio)
    cut.recording.sources[0].source = "a.wav"
    monkeypatch.chdir(audio)
    cut.custom = {"task": "ann", "split": "train"}
    with refused(r"data\\udce9 is no UTF-8 text, and no file can refer to it"):
        prepare(CutSet.from_cuts([cut]), data, {})
    assert not data.exists()
    with refused("no utterance can be used: 1 × unreadable recording"):
        prepare(CutSet.from_cuts([cut]), tmp_path / "data", {})
    assert r"audio\udce9/a.wav is no UTF-8 text" in (tmp_path / "data" / "skipped.tsv").read_text()
