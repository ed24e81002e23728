"""lhotse's Shar archives, and features without recordings."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from builders import refused
from lhotse import CutSet, Fbank, FbankConfig, LilcomChunkyWriter, NumpyFilesWriter
from lhotse.shar import SharWriter
from lhotse.utils import fastcopy
from recordings import make_cut, write_wav

from hra_cli.data.batches import SpeechDataset
from hra_cli.data.corpora.cuts import cuts_corpus
from hra_cli.data.corpora.shar import shar_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment

ONE_JOB = PrepareOptions(num_jobs=1)
ON_THE_FLY = PrepareOptions(num_jobs=1, on_the_fly=True)
ROUNDING = 0.04  # by which lilcom changes an energy's logarithm; hra's own features are stored so too
BY_SPEAKER = Assignment(task_by="speaker")


@pytest.fixture
def cuts(tmp_path):
    """Five utterances at 16 kHz, of two speakers."""
    return CutSet.from_cuts(
        make_cut(
            write_wav(tmp_path / "audio" / f"{speaker}-{index}.wav", 0.4 + 0.1 * index, 16000, seed=index),
            speaker=speaker,
        )
        for speaker, count in (("ann", 3), ("bob", 2))
        for index in range(count)
    )


def shar(cuts, folder, shard_size=2, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    with SharWriter(folder, fields=fields, shard_size=shard_size, warn_unused_fields=False) as writer:
        for cut in cuts:
            writer.write(cut)
    return folder


def with_features(cuts, folder, extractor=None, writer=LilcomChunkyWriter):
    """The cuts with stored features, and without their recordings."""
    extractor = extractor or Fbank(FbankConfig(num_mel_bins=80))
    with writer(folder) as storage:
        stored = [cut.compute_and_store_features(extractor, storage) for cut in cuts]
    return CutSet.from_cuts(fastcopy(cut, recording=None) for cut in stored)


def frames(index):
    """The features that training would read, by cut."""
    found = {}
    for task in index.names:
        for split in index.splits(task):
            batch = SpeechDataset()[index.cuts(task, split)]
            assert not batch.unreadable
            for id_, one, length in zip(batch.ids, batch.features, batch.feature_lens):
                found[id_] = one[:length].numpy()
    return found


def prepared(corpus, data, options=ONE_JOB):
    return prepare_corpus(corpus, data, BY_SPEAKER, options).index


def manifest(cuts, folder):
    cuts.to_file(folder / "cuts.jsonl.gz")
    return cuts_corpus(folder / "cuts.jsonl.gz")


def test_an_archive_gives_what_its_cuts_give(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", recording="wav")
    expected = frames(prepared(manifest(cuts, tmp_path), tmp_path / "1"))
    index = prepared(shar_corpus([archive]), tmp_path / "2")
    assert {task: index.splits(task)["train"].utterances for task in index.names} == {"ann": 1, "bob": 2}
    found = frames(index)
    assert set(found) == set(expected) == {cut.id for cut in cuts}
    assert all(np.array_equal(found[id_], expected[id_]) for id_ in expected)
    with gzip.open(tmp_path / "2" / "recordings.jsonl.gz") as lines:
        assert sorted(json.loads(line)["id"] for line in lines) == sorted(cut.id for cut in cuts)


def test_without_stored_features_audio_is_read_from_the_archive(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", recording="wav")
    expected = frames(prepared(manifest(cuts, tmp_path), tmp_path / "1", ON_THE_FLY))
    found = frames(prepared(shar_corpus([archive]), tmp_path / "2", ON_THE_FLY))
    # lhotse has written the samples anew, in 16 bits.
    assert all(np.abs(found[id_] - expected[id_]).max() < 0.01 for id_ in expected)
    (archive / "recording.000000.tar").unlink()
    index = prepare_corpus(shar_corpus([archive]), tmp_path / "3", BY_SPEAKER, ON_THE_FLY).index
    assert index.skipped == {"missing archive": 1, "no recording": 2}


def test_several_cuts_of_one_recording_stay_apart(tmp_path):
    whole = make_cut(write_wav(tmp_path / "audio" / "ann.wav", 2.0, 16000))
    first = whole.supervisions[0]
    whole.supervisions = [fastcopy(first, id=f"part-{start}", start=start, duration=1.0) for start in (0.0, 1.0)]
    parts = whole.trim_to_supervisions()
    index = prepared(shar_corpus([shar(parts, tmp_path / "shar", recording="wav")]), tmp_path / "data")
    one, other = frames(index).values()
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


def test_archives_as_splits(tmp_path, cuts):
    for split, speaker in (("train", "ann"), ("test", "bob")):
        shar(cuts.filter(lambda cut, name=speaker: cut.id.startswith(name)), tmp_path / split, recording="wav")
    corpus = shar_corpus([f"train={tmp_path / 'train'}", f"test={tmp_path / 'test'}"])
    index = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="constant:all"), ONE_JOB).index
    assert {split: one.utterances for split, one in index.splits("all").items()} == {"train": 3, "test": 2}


def test_a_split_that_is_named_is_no_other(tmp_path, cuts):
    for cut in cuts:  # what somebody else has once drawn
        cut.supervisions[0].custom = {"split": "test", "room": "kitchen"}
    corpus = shar_corpus([f"train={shar(cuts, tmp_path / 'shar', recording='wav')}"])
    index = prepare_corpus(corpus, tmp_path / "data", Assignment(task_by="room"), ONE_JOB).index
    assert {split: one.utterances for split, one in index.splits("kitchen").items()} == {"train": 5}


def test_a_field_in_lines_is_a_field_of_the_cuts(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", recording="wav")
    for number in range(3):
        lines = [{"cut_id": cut.id, "room": "kitchen"} for cut in cuts if cut.id != "ann-0"] + [{"cut_id": "ann-0"}]
        with gzip.open(archive / f"room.{number:06d}.jsonl.gz", "wt") as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in lines))
    index = prepare_corpus(shar_corpus([archive]), tmp_path / "data", Assignment(task_by="room"), ONE_JOB).index
    assert index.names == ["kitchen"]
    assert index.skipped == {"no room": 1}


@pytest.mark.parametrize("writer", [LilcomChunkyWriter, NumpyFilesWriter])
def test_stored_features_without_recordings_are_used_as_they_are(tmp_path, cuts, writer):
    featured = with_features(cuts, tmp_path / "feats", writer=writer)
    found = frames(prepared(manifest(featured, tmp_path), tmp_path / "data"))
    for cut in featured:
        assert np.abs(found[cut.id] - cut.load_features()).max() < ROUNDING
        assert writer is NumpyFilesWriter or np.array_equal(found[cut.id], cut.load_features())


@pytest.mark.parametrize("kind", ["lilcom", "numpy"])
def test_features_in_an_archive(tmp_path, cuts, kind):
    featured = with_features(cuts, tmp_path / "feats")
    archive = shar(featured, tmp_path / "shar", features=kind)
    found = frames(prepared(shar_corpus([archive]), tmp_path / "data"))
    for cut in featured:
        assert np.array_equal(found[cut.id], cut.load_features())


def test_a_supervision_gets_its_part_of_the_features(tmp_path):
    cut = make_cut(write_wav(tmp_path / "audio" / "ann.wav", 2.0, 16000))
    (featured,) = with_features([cut], tmp_path / "feats")
    first = featured.supervisions[0]
    featured.supervisions = [
        fastcopy(first, id="a", start=0.0, duration=0.8),
        fastcopy(first, id="b", start=0.8, duration=1.2),
        fastcopy(first, id="c", start=1.5, duration=1.2),
    ]
    index = prepared(manifest(CutSet.from_cuts([featured]), tmp_path), tmp_path / "data")
    found, whole = frames(index), featured.load_features()
    assert np.abs(found["a"] - whole[:80]).max() < ROUNDING
    assert np.abs(found["b"] - whole[80:]).max() < ROUNDING
    assert index.skipped == {"supervision outside its cut": 1}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"type": "whisper-fbank"}, "of the type whisper-fbank"),
        ({"num_features": 40}, "40 numbers a frame"),
        ({"frame_shift": 0.0125}, "a frame every 0.0125 s"),
        ({"sampling_rate": 8000}, "of audio at 8000 Hz"),
    ],
)
def test_features_of_another_kind_are_a_clear_no(tmp_path, cuts, change, detail):
    featured = CutSet.from_cuts(
        fastcopy(cut, features=fastcopy(cut.features, **change)) for cut in with_features(cuts, tmp_path / "feats")
    )
    with refused("5 × no recording, and features that are not 80 log-mel energies", "at 100 Hz", "skipped.tsv"):
        prepared(manifest(featured, tmp_path), tmp_path / "data")
    assert detail in (tmp_path / "data" / "skipped.tsv").read_text()


def test_features_that_are_not_what_they_seem_are_skipped(tmp_path, cuts):
    featured = list(with_features(cuts, tmp_path / "feats", writer=NumpyFilesWriter))
    paths = [tmp_path / "feats" / cut.features.storage_key for cut in featured]
    np.save(paths[0], np.zeros((40, 40), np.float32))
    np.save(paths[1], np.full((50, 80), np.nan, np.float32))
    np.save(paths[4], np.full((50, 80), 1e30, np.float32))
    paths[2].unlink()
    paths[3].write_bytes(b"")
    good = fastcopy(featured[4], id="good", features=list(with_features(cuts, tmp_path / "other"))[4].features)
    index = prepared(manifest(CutSet.from_cuts([*featured, good]), tmp_path), tmp_path / "data")
    assert index.skipped == {"unreadable features": 5}
    assert set(frames(index)) == {"good"}


def test_features_alone_cannot_be_computed_again(tmp_path, cuts):
    corpus = manifest(with_features(cuts, tmp_path / "feats"), tmp_path)
    with refused("5 × no recording, only features, which need no --on-the-fly"):
        prepared(corpus, tmp_path / "data", ON_THE_FLY)
    with refused("--perturb-speed needs recordings"):
        prepared(corpus, tmp_path / "data", PrepareOptions(num_jobs=1, perturb_speed=True))


def test_an_archive_that_is_cut_off_loses_what_it_lacks(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", shard_size=5, recording="wav")
    tar = archive / "recording.000000.tar"
    with tarfile.open(tar) as content:
        end = content.getmember("ann-2.wav").offset_data + 100
    tar.write_bytes(tar.read_bytes()[:end])
    index = prepared(shar_corpus([archive]), tmp_path / "data")
    assert set(frames(index)) == {"ann-0", "ann-1"}
    assert index.skipped == {"damaged archive": 1, "no recording": 3}
    assert "recording.000000.tar is cut off" in (tmp_path / "data" / "skipped.tsv").read_text()


def test_a_damaged_header_is_not_the_end_of_an_archive(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", shard_size=5, recording="wav")
    tar = archive / "recording.000000.tar"
    with tarfile.open(tar) as content:
        header = content.getmember("ann-2.wav").offset
    damaged = bytearray(tar.read_bytes())
    damaged[header + 5] ^= 1
    tar.write_bytes(damaged)
    index = prepared(shar_corpus([archive]), tmp_path / "data")
    assert set(frames(index)) == {"ann-0", "ann-1"}
    assert index.skipped == {"damaged archive": 1, "no recording": 3}
    assert (
        f"recording.000000.tar is damaged: what is at byte {header:,}"
        in (tmp_path / "data" / "skipped.tsv").read_text()
    )


def test_a_shard_that_lacks_a_file_is_named(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", recording="wav")
    (archive / "recording.000001.tar").rename(tmp_path / "recording.000001.tar")
    index = prepared(shar_corpus([archive]), tmp_path / "data")
    assert set(frames(index)) == {"ann-0", "ann-1", "bob-1"}
    assert index.skipped == {"missing archive": 1, "no recording": 2}
    assert "recording.000001.tar is not there" in (tmp_path / "data" / "skipped.tsv").read_text()
    (tmp_path / "recording.000001.tar").rename(archive / "recording.000001.tar")
    (archive / "cuts.000001.jsonl.gz").unlink()
    with refused(r"recording.000001.tar has no cuts.000001.jsonl.gz beside it"):
        shar_corpus([archive])


def tar_of(file, *members):
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_a_strangers_archive_runs_nothing(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", shard_size=5, recording="wav")
    tar = archive / "recording.000000.tar"
    sentinel = tmp_path / "sentinel"
    with tarfile.open(tar) as content:
        held = {name: content.extractfile(name).read() for name in content.getnames()}
    description = json.loads(held["ann-0.json"])
    # Where a manifest in the tar file says that its audio is, nobody looks.
    description["sources"] = [{"type": "command", "channels": [0], "source": f"touch {sentinel}"}]
    tar_of(
        tar,
        *(("ann-0.wav", held["ann-0.wav"]), ("ann-0.json", json.dumps(description).encode())),
        *(("ann-1.wav", held["ann-1.wav"]), ("ann-1.wav", held["ann-1.wav"]), ("ann-1.json", held["ann-1.json"])),
        *(("../../bob-0.wav", held["bob-0.wav"]), ("../../bob-0.json", held["bob-0.json"])),
        *(("bob-1.wav", b"no audio"), ("bob-1.json", held["bob-1.json"])),
    )
    index = prepared(shar_corpus([archive]), tmp_path / "data")
    assert set(frames(index)) == {"ann-0"}
    assert index.skipped == {"no recording": 3, "twice in its archive": 1, "unreadable recording": 1}
    assert not sentinel.exists()
    for wrong, message in ((b"{", "manifest is damaged"), (b"[]", "manifest is damaged"), (b"{}", "channels")):
        tar_of(tar, ("ann-0.wav", held["ann-0.wav"]), ("ann-0.json", wrong))
        with refused(message):
            prepared(shar_corpus([archive]), tmp_path / "other")
    pipe = {"cut_id": "ann-0", "recording": {**description, "id": "r"}}
    with gzip.open(archive / "recording.000000.jsonl.gz", "wt") as stream:
        stream.write(json.dumps(pipe))
    tar.unlink()
    with refused("cuts.000000.jsonl.gz, line 1", "runs a shell command"):
        prepared(shar_corpus([archive]), tmp_path / "other")
    assert not sentinel.exists()


def test_a_folder_without_an_archive_is_refused(tmp_path):
    with refused("no such folder"):
        shar_corpus([tmp_path / "nowhere"])
    with refused("no Shar archive in", "cuts.000000.jsonl.gz"):
        shar_corpus([tmp_path])
    with refused("is a folder", "hra prepare shar"):
        cuts_corpus(tmp_path)


def test_a_changed_archive_is_another_corpus(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", recording="wav")
    corpus = shar_corpus([archive])
    prepared(corpus, tmp_path / "data")
    assert prepare_corpus(shar_corpus([archive]), tmp_path / "data", BY_SPEAKER, ONE_JOB).was_there
    with gzip.open(archive / "cuts.000002.jsonl.gz", "at") as stream:
        stream.write("\n")
    with refused("prepared with other arguments", "archives-sha256"):
        prepared(shar_corpus([archive]), tmp_path / "data")


def test_a_manifest_from_an_archive_says_where_to_give_it(tmp_path, cuts):
    archive = shar(cuts, tmp_path / "shar", shard_size=5, recording="wav")
    with refused("5 × unreadable recording"):
        prepared(cuts_corpus(archive / "cuts.000000.jsonl.gz"), tmp_path / "data")
    assert "hra prepare shar" in (tmp_path / "data" / "skipped.tsv").read_text()
