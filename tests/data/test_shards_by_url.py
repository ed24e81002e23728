"""Shar archives whose files are copied from URLs first."""

import functools
import http.server
import sys
import threading

import pytest
from builders import refused
from lhotse import CutSet
from lhotse.shar import SharWriter
from recordings import make_cut, write_wav
from speech import hra

from hra_cli.data.corpora.shar import shar_corpus
from hra_cli.data.corpora.shards_by_url import expanded, fetch_shards
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment

CUTS, AUDIO = "cuts.{000000..000002}.jsonl.gz", "recording.{000000..000002}.tar"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def archive(tmp_path):
    """Five utterances of a speaker in three shards."""
    pytest.importorskip("smart_open")
    folder = tmp_path / "shar"
    folder.mkdir()
    with SharWriter(folder, fields={"recording": "wav"}, shard_size=2) as writer:
        for n in range(5):
            writer.write(make_cut(write_wav(tmp_path / "audio" / f"{n}.wav", 0.4, 16000, seed=n)))
    return folder


@pytest.fixture
def address(archive):
    """Where a server of this machine has its files."""
    handler = functools.partial(Quiet, directory=str(archive))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def cuts_of(corpus, data):
    index = prepare_corpus(corpus, data, Assignment(task_by="speaker"), PrepareOptions(num_jobs=1)).index
    return CutSet.from_cuts(cut for split in index.splits("ann") for cut in index.cuts("ann", split))


def test_urls_give_what_the_folder_gives(archive, address, tmp_path):
    here = cuts_of(shar_corpus([archive]), tmp_path / "here")
    far = cuts_of(shar_corpus([f"{address}/{CUTS}", f"{address}/{AUDIO}"], tmp_path / "copy"), tmp_path / "far")
    assert sorted(far.ids) == sorted(here.ids)
    assert len(far) == 5
    for cut in far:
        assert (cut.load_features() == here[cut.id].load_features()).all()
    for file in archive.glob("*.tar"):
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()


def test_what_is_copied_already_is_not_fetched_again(archive, address, tmp_path):
    folders = fetch_shards([f"{address}/{CUTS}"], tmp_path / "copy")
    assert folders == [str(tmp_path / "copy")]
    (archive / "cuts.000000.jsonl.gz").unlink()
    (tmp_path / "copy" / "cuts.000001.jsonl").unlink()
    fetch_shards([f"{address}/{CUTS}"], tmp_path / "copy")
    assert len(list((tmp_path / "copy").iterdir())) == 3


def test_urls_as_splits(address, tmp_path):
    urls = [f"{split}={address}/{name}" for split in ("train", "test") for name in (CUTS, AUDIO)]
    corpus = shar_corpus(urls, tmp_path / "copy")
    assert corpus.split_by == "split"
    assert len(list((tmp_path / "copy" / "test").iterdir())) == 6
    with refused("write train=URL"):
        fetch_shards([f"{address}/{CUTS}", f"test={address}/{CUTS}"], tmp_path / "other")


def test_a_url_that_does_not_answer_is_named_and_what_is_there_stays(archive, address, tmp_path):
    (archive / "recording.000001.tar").unlink()
    with refused(f"cannot fetch {address}/recording.000001.tar: .*404"):
        shar_corpus([f"{address}/{CUTS}", f"{address}/{AUDIO}"], tmp_path / "copy")
    names = sorted(file.name for file in (tmp_path / "copy").iterdir())
    assert names == ["cuts.000000.jsonl", "cuts.000001.jsonl", "cuts.000002.jsonl", "recording.000000.tar"]
    with refused("cannot fetch http://127.0.0.1:9/cuts.0.jsonl: "):
        fetch_shards(["http://127.0.0.1:9/cuts.0.jsonl"], tmp_path / "copy")


def test_a_file_that_arrives_half_is_not_kept(archive, address, tmp_path):
    whole = (archive / "cuts.000001.jsonl.gz").read_bytes()
    (archive / "cuts.000001.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with refused(f"cannot fetch {address}/cuts.000001.jsonl.gz: "):
        fetch_shards([f"{address}/{CUTS}"], tmp_path / "copy")
    assert [file.name for file in (tmp_path / "copy").iterdir()] == ["cuts.000000.jsonl"]


def test_ranges():
    assert expanded("s3://b/cuts.{098..101}.jsonl") == [f"s3://b/cuts.{n}.jsonl" for n in ("098", "099", "100", "101")]
    assert expanded("s3://b/cuts.0.jsonl") == ["s3://b/cuts.0.jsonl"]
    for wrong in ("{3..1}", "{0..9}{0..9}", "{0..999999999}"):
        with refused("one range"):
            expanded(f"s3://b/cuts.{wrong}.jsonl")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["http://127.0.0.1/shar"], "is no URL of a file of a Shar archive"),
        (["http://127.0.0.1/..%2f.tar"], "is no URL of a file of a Shar archive"),
        (["http://127.0.0.1/a/cuts.0.jsonl", "http://127.0.0.1/b/cuts.0.jsonl"], "are the same file"),
        (["http://127.0.0.1/cuts.0.jsonl", "shar"], "give folders, or URLs"),
    ],
)
def test_what_cannot_be_fetched(tmp_path, given, message):
    with refused(message):
        shar_corpus(given, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_where_to_is_said(tmp_path):
    with refused("--fetch-to DIR"):
        shar_corpus(["http://127.0.0.1/cuts.0.jsonl"])
    with refused("--fetch-to has no effect without URLs"):
        shar_corpus([tmp_path], tmp_path / "copy")


def test_without_smart_open(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "smart_open", None)
    with refused(r"install it with pip install -e '\.\[url\]'"):
        fetch_shards(["http://127.0.0.1/cuts.0.jsonl"], tmp_path)


def test_the_command(address, tmp_path):
    hra(
        "prepare",
        "shar",
        f"{address}/{CUTS}",
        f"{address}/{AUDIO}",
        "--fetch-to",
        tmp_path / "copy",
        "--output-dir",
        tmp_path / "data",
    )
    assert (tmp_path / "data" / "tasks.json").is_file()
