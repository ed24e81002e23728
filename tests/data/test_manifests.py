"""What is read from a lhotse cut manifest, and that nothing in it, nor its name, is ever run."""

import gzip
import json
import shlex
from pathlib import Path

import pytest
from builders import refused
from cut_lists import read_cuts
from data_folders import change_tasks, write_split
from lhotse import CutSet
from recordings import make_cut, write_wav
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.batch_plan import decoding_batches
from hra_cli.data.batches import load_batches
from hra_cli.data.corpora.cuts import cuts_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.manifests import ManifestWriter
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError


@pytest.fixture
def line(tmp_path):
    """A cut as it is in a manifest."""
    cut = make_cut(write_wav(tmp_path / "audio" / "ann.wav"))
    return json.loads(json.dumps(cut.to_dict()))


@pytest.fixture
def sentinel(tmp_path):
    """A file that a command would make."""
    return tmp_path / "sentinel"


def manifest(folder, *lines):
    file = folder / "cuts.jsonl"
    text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    return file


def command_source(line, command, kind="command"):
    return {"type": kind, "channels": [0], "source": command}


def from_a_pipe(line, sentinel):
    """The cut with its audio from a shell command that leaves a file."""
    wav = line["recording"]["sources"][0]["source"]
    command = f"touch {shlex.quote(str(sentinel))}; cat {shlex.quote(wav)}"
    return {**line, "recording": {**line["recording"], "sources": [command_source(line, command)]}}


# --- nothing runs


@pytest.mark.parametrize("field", ["recording", "target_recording"])
def test_a_change_of_rate_that_takes_gigabytes_is_refused(tmp_path, line, field):
    rates = {"source_sampling_rate": 8000, "target_sampling_rate": 1e12}
    line["recording"]["transforms"] = [{"name": "Resample", "kwargs": rates}]
    other = {**line, "recording": {**line["recording"], "transforms": None}, "custom": {field: line["recording"]}}
    with refused("line 1: resampling from 8000 Hz to 1000000000000 Hz takes many gigabytes"):
        read_cuts(manifest(tmp_path, line if field == "recording" else other))


def test_the_name_of_a_manifest_is_no_command(tmp_path, line, sentinel, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest(tmp_path, line)
    name = "pipe:touch sentinel; cat cuts.jsonl #.jsonl"
    command = ["cuts", name, "--task-by", "speaker", "--output-dir", "data"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, HraError)
    assert "no such cut manifest" in str(result.exception)
    # Where there is a file of that name it is read as a file.
    (tmp_path / "cuts.jsonl").rename(tmp_path / name)
    result = CliRunner().invoke(app, [*command, "--num-jobs", "1"])
    assert result.exit_code == 0, result.output
    assert not sentinel.exists()


def test_the_manifests_of_a_data_folder_are_no_commands(tmp_path, line, sentinel, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = cuts_corpus(manifest(tmp_path, line))
    prepare_corpus(corpus, tmp_path / "data", Assignment("speaker"), PrepareOptions(num_jobs=1))
    monkeypatch.chdir(tmp_path / "data")
    change_tasks(Path(), lambda content: content["tasks"]["ann"]["train"].update(cuts=f"pipe:touch {sentinel.name}"))
    with refused("is missing", "pipe:touch"):
        load_tasks(Path()).cuts("ann", "train")
    assert not Path(sentinel.name).exists()


@pytest.mark.parametrize("kind", ["command", "url"])
def test_audio_from_commands_and_urls_is_refused(tmp_path, line, sentinel, kind):
    bad = from_a_pipe(line, sentinel)
    bad["recording"]["sources"][0]["type"] = kind
    for where in (
        bad,
        {**line, "custom": {"target": bad["recording"]}},
        {**line, "recording": {**line["recording"], "transforms": [reverb(bad["recording"])]}},
        {"type": "MixedCut", "id": "mix", "tracks": [{"type": "MonoCut", "cut": bad, "offset": 0.0}]},
    ):
        file = manifest(tmp_path, line, where)
        with refused(f"type '{kind}'", f"{file}, line 2", "--allow-commands"):
            read_cuts(file)
    assert not sentinel.exists()


def reverb(recording):
    return {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": recording}}


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_allowed_commands_run_once_when_data_are_prepared(tmp_path, line, sentinel, num_jobs):
    file = manifest(tmp_path, from_a_pipe(line, sentinel))
    command = ["cuts", str(file), "--task-by", "speaker", "--num-jobs", str(num_jobs), "--allow-commands"]
    fly = CliRunner().invoke(app, [*command, "--output-dir", str(tmp_path / "fly"), "--on-the-fly"])
    assert isinstance(fly.exception, HraError)
    assert "commands run once" in str(fly.exception)
    assert not sentinel.exists()
    result = CliRunner().invoke(app, [*command, "--output-dir", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert sentinel.exists()
    sentinel.unlink()
    # What is stored does not need them.
    cuts = load_tasks(tmp_path / "data").cuts("ann", "train")
    assert next(iter(cuts)).recording.sources[0].type == "command"
    (batch,) = load_batches(decoding_batches(cuts, 10.0))
    assert batch.feature_lens.tolist() == [50]
    assert not sentinel.exists()


def test_a_data_folder_whose_audio_is_read_runs_no_commands(tmp_path, line, sentinel):
    data = tmp_path / "data"
    options = PrepareOptions(1, on_the_fly=True)
    prepare_corpus(cuts_corpus(manifest(tmp_path, line)), data, Assignment("speaker"), options)
    (cut,) = load_tasks(data).cuts("ann", "train")
    cut.recording.sources[0].type = "command"
    cut.recording.sources[0].source = f"touch {sentinel}"
    write_split(data, "ann", "train", [cut])
    with refused("type 'command'"):
        load_tasks(data).cuts("ann", "train")
    # Nor one that says that features are stored and stores none.
    change_tasks(data, lambda content: content.update(features="stored"))
    with refused("no features"):
        load_tasks(data).cuts("ann", "train")
    with refused("of type 'command'"):
        list(load_batches([CutSet.from_cuts([cut])]))
    assert not sentinel.exists()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("memory_raw", ""),
        ("lilcom_url", "s3://bucket"),
        ("kaldiio", "feats.scp"),
        ("pillow_memory", ""),
        ("numpy_files", "pipe:touch sentinel #"),
        ("lilcom_files", "http:/"),
    ],
)
def test_arrays_that_unpickle_download_or_run_are_refused(tmp_path, line, kind, path):
    array = {"storage_type": kind, "storage_path": path, "storage_key": "x", "shape": [1, 2]}
    with refused("storage type", kind, "line 1"):
        read_cuts(manifest(tmp_path, {**line, "custom": {"alignment": array}}))
    with refused("storage type", kind, "line 1"):
        read_cuts(manifest(tmp_path, {**line, "custom": {"alignment": {"array": array, "temporal_dim": 0}}}))


# --- every way of being wrong is one line


def changed(line, *path, value):
    copy = json.loads(json.dumps(line))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["id"], 7),
        (["start"], "0"),
        (["start"], -1.0),
        (["duration"], 1e300),
        (["duration"], None),
        (["channel"], "left"),
        (["supervisions"], {}),
        (["supervisions", 0, "start"], "now"),
        (["supervisions", 0, "duration"], 1e300),
        (["supervisions", 0, "channel"], None),
        (["supervisions", 0, "speaker"], ["ann"]),
        (["supervisions", 0, "alignment"], {"word": 3}),
        (["supervisions", 0, "unknown"], 1),
        (["recording", "sampling_rate"], 1),
        (["recording", "sampling_rate"], 10**9),
        (["recording", "num_samples"], 1.5),
        (["recording", "sources"], "a.wav"),
        (["recording", "sources", 0, "source"], None),
        (["recording", "transforms"], [{"name": "NoSuch", "kwargs": {}}]),
        (["recording", "transforms"], 5),
        (["features"], {"type": "fbank"}),
        (["custom"], []),
        (["unknown"], 1),
    ],
)
def test_a_field_that_cannot_be_names_the_line(tmp_path, line, path, value):
    file = manifest(tmp_path, line, changed(line, *path, value=value))
    with refused(r"cuts\.jsonl, line 2", file):
        read_cuts(file)


@pytest.mark.parametrize(
    "text",
    ['{"id": "a", ', "hello", "[]", "3", '{"id": NaN}', '"\\ud800"', "[" * 500, "1" * 5000, '{"type": ["MonoCut"]}'],
)
def test_a_line_that_is_no_cut_is_named(tmp_path, line, text):
    file = manifest(tmp_path, line, text)
    with refused("damaged|is not a cut", f"{file}, line 2"):
        read_cuts(file)


def test_files_that_are_no_manifests_are_named(tmp_path, line):
    whole = gzip.compress((json.dumps(line) + "\n").encode() * 50)
    for name, content, problem in (
        ("half.jsonl.gz", whole[:-20], "cut off or no gzip"),
        ("plain.jsonl.gz", b"{}\n", "cut off or no gzip"),
        ("flipped.jsonl.gz", whole[:40] + b"\xff\xff" + whole[42:], "damaged"),
        ("binary.jsonl", b"\xff\xfe\n", "line 1 is damaged"),
        ("empty.jsonl", b"", "holds nothing"),
        ("object.json", b"{}", "damaged"),
        ("bomb.yaml", b"a: &a [1]\nb: [*a, *a]\n", "no plain YAML"),
        ("cuts.txt", b"", "not a lhotse cut manifest"),
    ):
        (tmp_path / name).write_bytes(content)
        with refused(problem, name):
            read_cuts(tmp_path / name)
    (tmp_path / "folder.jsonl").mkdir()
    with refused("is a folder", "hra prepare shar"):
        read_cuts(tmp_path / "folder.jsonl")


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "json", "json.gz", "yaml"])
def test_what_lhotse_writes_is_read(tmp_path, corpus, suffix):
    file = tmp_path / f"cuts.{suffix}"
    corpus.to_file(file)
    assert list(read_cuts(file)) == list(corpus)


def test_what_is_written_is_what_lhotse_writes(tmp_path, corpus):
    corpus.to_file(tmp_path / "theirs.jsonl.gz")
    with ManifestWriter(tmp_path / "ours.jsonl.gz") as writer:
        for cut in corpus:
            writer.write(cut.to_dict())
    assert len(writer.sha256) == 64
    theirs, ours = ((tmp_path / f"{name}.jsonl.gz").read_bytes() for name in ("theirs", "ours"))
    assert gzip.decompress(ours) == gzip.decompress(theirs)
