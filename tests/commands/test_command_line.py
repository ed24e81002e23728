"""The commands as a user types them, and what a mistake looks like."""

import ast
import json
import re
import shutil

import pytest
import torch
from lhotse import CutSet
from safetensors.torch import load_file
from searches import SEARCHES
from speech import BACKBONE, TASKS, hra

from hra_cli.adapter.head_file import read_head
from hra_cli.app import main
from hra_cli.data.task_index import load_tasks
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.load import load_recogniser
from hra_cli.scoring.wer import Utterance, score


@pytest.fixture(scope="module")
def exported(experiment, tmp_path_factory):
    """fr.safetensors with its controller, and fr-alone.safetensors without."""
    folder = tmp_path_factory.mktemp("exported")
    for name, options in (("fr", ()), ("fr-alone", ("--no-controller",)), ("fr-half", ("--dtype", "float16"))):
        output = folder / f"{name}.safetensors"
        hra("export-head", "--exp-dir", experiment, "--task", "fr", "--output", output, *options)
    return folder


def recogs(folder, split="test", suffix="greedy_search"):
    """Hypotheses by id, out of icefall's file."""
    lines = (folder / f"recogs-{split}-{suffix}.txt").read_text().splitlines()
    matches = [re.fullmatch(r"(\S+):\thyp=(.*)", line) for line in lines]
    return {match.group(1): ast.literal_eval(match.group(2)) for match in matches if match}


def test_version_and_help(capsys):
    def shown(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        assert stopped.value.code == 0
        return capsys.readouterr().out

    assert re.fullmatch(r"hra \d+\.\d+\.\d+\n", shown("--version"))
    for command in ("prepare", "train", "decode", "export-head", "info"):
        assert command in shown("--help")
        assert "Usage:" in shown(command, "--help")


@pytest.mark.parametrize("method", SEARCHES)
def test_decoding_data_scores_every_task_with_its_own_head(data, experiment, tmp_path, method):
    done = hra(
        "decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", experiment,
        "--decoding-method", method, "--output-dir", tmp_path, "--json", tmp_path / "wer.json",
    )  # fmt: skip
    scores = json.loads((tmp_path / "wer.json").read_text())
    assert set(scores["tasks"]) == set(TASKS)
    assert scores["total"]["words"] == sum(task["words"] for task in scores["tasks"].values()) > 0
    assert scores["total"]["errors"] == sum(task["errors"] for task in scores["tasks"].values())
    assert scores["total"]["wer"] == pytest.approx(100 * scores["total"]["errors"] / scores["total"]["words"], abs=0.01)
    assert "WER %" in done.stdout
    speed = scores["speed"]
    assert speed["audio_seconds"] == pytest.approx(
        sum(split["test"].seconds for split in load_tasks(data).tasks.values()), abs=0.02
    )
    assert speed["seconds"] > 0
    assert speed["real_time_factor"] == pytest.approx(speed["seconds"] / speed["audio_seconds"], rel=0.05)
    assert re.search(r"s of audio in \d+\.\d s: real-time factor \d+\.\d{4}$", done.stdout, re.MULTILINE)
    assert len(recogs(tmp_path, suffix=method)) == len(scores["utterances"]) == 12
    hyps, refs = ({id_: one[key].split() for id_, one in scores["utterances"].items()} for key in ("hyp", "ref"))
    assert hyps == recogs(tmp_path, suffix=method)
    assert score([Utterance(id_, "", refs[id_], hyps[id_]) for id_ in hyps]).total.errors == scores["total"]["errors"]
    for id_, one in scores["utterances"].items():
        assert id_.startswith(one["task"])
        assert "".join(one["tokens"]).replace("▁", " ").split() == one["hyp"].split()
        assert len(one["times"]) == len(one["tokens"])
        assert one["times"] == sorted(one["times"])
    assert f"%WER = {scores['total']['wer']:.2f}" in (tmp_path / f"errs-test-{method}.txt").read_text()
    assert method in (tmp_path / f"wer-summary-test-{method}.txt").read_text()


def test_heads_recognise_what_they_do_from_python_and_no_heads_is_the_frozen_model(data, experiment, tmp_path):
    common = ["decode", "--backbone", BACKBONE, "--data", data]
    hra(*common, "--exp-dir", experiment, "--output-dir", tmp_path)
    hra(*common, "--no-heads", "--output-dir", tmp_path)
    cuts = CutSet.from_cuts(cut for task in TASKS for cut in load_tasks(data).cuts(task, "test"))
    recognisers = load_recogniser(BACKBONE, exp_dir=experiment), load_recogniser(BACKBONE)
    with_heads, frozen = ({one.id: one.hyp for one in decode_cuts(one, cuts).utterances} for one in recognisers)
    assert recogs(tmp_path) == with_heads
    assert recogs(tmp_path, suffix="greedy_search-no-heads") == frozen
    assert with_heads != frozen


def test_an_exported_file_alone_recognises_as_the_experiment_does(data, experiment, exported, tmp_path):
    common = ["decode", "--backbone", BACKBONE, "--data", data, "--task", "fr"]
    hra(*common, "--exp-dir", experiment, "--output-dir", tmp_path / "experiment")
    hra(*common, "--head", exported / "fr.safetensors", "--output-dir", tmp_path / "file")
    separate = ["--head", exported / "fr-alone.safetensors", "--controller", experiment / "controller.safetensors"]
    hra(*common, *separate, "--output-dir", tmp_path / "separate")
    assert recogs(tmp_path / "experiment") == recogs(tmp_path / "file") == recogs(tmp_path / "separate")


@pytest.fixture(scope="module")
def heads(experiment, tmp_path_factory):
    """A folder with the exported head of every task."""
    folder = tmp_path_factory.mktemp("heads")
    for task in TASKS:
        hra("export-head", "--exp-dir", experiment, "--task", task, "--output", folder / f"{task}.safetensors")
    return folder


def test_a_folder_of_heads_recognises_as_the_experiment_does(data, experiment, heads, tmp_path):
    common = ["decode", "--backbone", BACKBONE, "--data", data]
    hra(*common, "--exp-dir", experiment, "--output-dir", tmp_path / "experiment")
    hra(*common, "--heads", heads, "--output-dir", tmp_path / "folder")
    # One utterance a batch, one head in memory.
    hra(*common, "--heads", heads, "--max-heads", "1", "--max-duration", "0.1", "--output-dir", tmp_path / "little")
    separate = ["--heads", experiment / "heads", "--controller", experiment / "controller.safetensors"]
    hra(*common, *separate, "--output-dir", tmp_path / "separate")
    expected = recogs(tmp_path / "experiment")
    assert len(expected) == 12
    for folder in ("folder", "little", "separate"):
        assert recogs(tmp_path / folder) == expected


def test_one_head_of_a_folder_for_audio_files(data, heads, refused):
    wav = next((data.parent / "speech").rglob("fr-test-*.wav"))
    command = ["decode", wav, "--backbone", BACKBONE, "--heads", heads]
    assert hra(*command, "--task", "fr").stdout.startswith(f"{wav}\t")
    assert "several heads are there (de, fr); say with --task" in refused(*command)


def test_a_folder_that_lacks_a_task(refused, data, heads, tmp_path):
    shutil.copy(heads / "de.safetensors", tmp_path / "de.safetensors")
    shutil.copy(heads / "fr.safetensors", tmp_path / "frr.safetensors")
    common = ["decode", "--backbone", BACKBONE, "--data", data, "--heads", tmp_path]
    assert f"no head for task 'fr' in {tmp_path}; did you mean 'frr'?" in refused(*common)
    (tmp_path / "frr.safetensors").rename(tmp_path / "fr.safetensors")
    assert "--max-heads is 1; raise it to 2 or more" in refused(*common, "--max-heads", "1")
    line = refused(*common, "--head", heads / "de.safetensors")
    assert "give one of --exp-dir, --heads and --head" in line
    assert "--heads or --no-heads, not both" in refused(*common, "--no-heads")


def test_a_folder_with_a_head_of_another_controller(refused, data, heads, exported, tmp_path):
    shutil.copy(heads / "de.safetensors", tmp_path / "de.safetensors")
    shutil.copy(exported / "fr-half.safetensors", tmp_path / "fr.safetensors")
    line = refused("decode", "--backbone", BACKBONE, "--data", data, "--heads", tmp_path)
    assert "'de' and 'fr' belong to different controllers" in line


def test_an_experiment_without_heads_yet(refused, data, experiment, tmp_path):
    shutil.copy(experiment / "config.yaml", tmp_path / "config.yaml")
    line = refused("decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", tmp_path)
    assert f"{tmp_path} has no heads yet" in line


def test_export_bundles_the_controller_and_converts(exported):
    whole, alone = load_file(exported / "fr.safetensors"), load_file(exported / "fr-alone.safetensors")
    assert set(alone) == {"head.weight", "head.bias"}
    assert set(whole) == {*alone, "controller.weight", "controller.recurrent", "controller.bias"}
    assert {tensor.dtype for tensor in load_file(exported / "fr-half.safetensors").values()} == {torch.float16}
    half = (exported / "fr-half.safetensors").stat().st_size
    assert half < 0.6 * (exported / "fr.safetensors").stat().st_size
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", read_head(exported / "fr.safetensors").other["created"])


def test_audio_files_become_text(data, exported):
    wavs = sorted((data.parent / "speech").rglob("fr-test-*.wav"))[:2]
    command = ["decode", *wavs, "--backbone", BACKBONE, "--head", exported / "fr-half.safetensors"]
    found = {one["file"]: one for one in map(json.loads, hra(*command, "--format", "json").stdout.splitlines())}
    done = hra(*command)
    assert list(found) == [str(wav) for wav in wavs]
    for one in found.values():
        assert "".join(one["tokens"]).replace("▁", " ").split() == one["text"].split()
        assert len(one["times"]) == len(one["tokens"])
        assert all(0 <= time < 10 for time in one["times"])
    texts = {wav: one["text"] for wav, one in found.items()}
    assert all(text == text.upper() and text for text in texts.values())
    assert done.stdout.splitlines() == [f"{wav}\t{text}" for wav, text in texts.items()]
    assert "real-time factor" in done.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("backbone", ["recogniser", "3,233,129", "downsampling", "128 tokens"]),
        ("data", ["prepared data", "fr", "train", "24"]),
        ("experiment", ["experiment", "joint training", "2 of 2"]),
        ("head", ["head", "linear, 10,400 parameters", "bundled"]),
        ("controller", ["controller", "10,368"]),
    ],
)
def test_info_says_what_a_path_is(data, experiment, exported, path, words):
    paths = {
        "backbone": BACKBONE,
        "data": data,
        "experiment": experiment,
        "head": exported / "fr.safetensors",
        "controller": experiment / "controller.safetensors",
    }
    shown = hra("info", paths[path], env={"COLUMNS": "200", "PATH": "/usr/bin"}).stdout
    for word in words:
        assert word in shown


def test_unknown_task_suggests_the_nearest_name(refused, data, tmp_path):
    line = refused("train", "--backbone", BACKBONE, "--data", data, "--exp-dir", tmp_path / "e", "--task", "frr")
    assert "'frr'" in line
    assert "did you mean 'fr'?" in line


def test_a_task_without_a_head(refused, data, experiment, exported):
    line = refused("decode", "--backbone", BACKBONE, "--data", data, "--head", exported / "fr.safetensors")
    assert "no head for task 'de'" in line
    line = refused("export-head", "--exp-dir", experiment, "--task", "dee", "--output", "x.safetensors")
    assert "did you mean 'de'?" in line


def test_a_head_of_another_backbone(refused, data, exported, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(BACKBONE, other)
    tensors = load_file(other / "model.safetensors")
    tensors["joiner.output_linear.bias"][0] += 1
    torch.save({"model": tensors}, other / "pretrained.pt")
    (other / "model.safetensors").unlink()
    line = refused("decode", "--backbone", other, "--data", data, "--task", "fr", "--head", exported / "fr.safetensors")
    assert "task 'fr' belongs to another backbone" in line


def test_a_head_whose_controller_is_not_there(refused, data, exported):
    line = refused(
        "decode", "--backbone", BACKBONE, "--data", data, "--task", "fr", "--head", exported / "fr-alone.safetensors"
    )
    assert "needs the controller" in line
    assert "--controller" in line


def test_a_truncated_head(refused, data, exported, tmp_path):
    cut_off = tmp_path / "cut-off.safetensors"
    cut_off.write_bytes((exported / "fr.safetensors").read_bytes()[:-100])
    line = refused("decode", "--backbone", BACKBONE, "--data", data, "--task", "fr", "--head", cut_off)
    assert str(cut_off) in line
    assert "truncated" in line


def test_a_pt_file_that_is_no_checkpoint(refused, data, tmp_path):
    file = tmp_path / "pretrained.pt"
    file.write_text("not a checkpoint")
    line = refused("decode", "--backbone", tmp_path, "--data", data, "--no-heads")
    assert f"{file} is not a PyTorch checkpoint" in line


def test_no_bpe_model(refused, data, tmp_path):
    shutil.copy(BACKBONE / "model.safetensors", tmp_path)
    line = refused("decode", "--backbone", tmp_path, "--data", data, "--no-heads")
    assert "no bpe.model" in line


def test_an_empty_data_folder(refused, tmp_path):
    (tmp_path / "data").mkdir()
    line = refused("train", "--backbone", BACKBONE, "--data", tmp_path / "data", "--exp-dir", tmp_path / "exp")
    assert "hra prepare" in line
    assert not (tmp_path / "exp").exists(), "a refused run leaves nothing behind"


def test_audio_that_is_no_audio(refused, exported, tmp_path):
    file = tmp_path / "speech.wav"
    file.write_text("not audio")
    line = refused("decode", file, "--backbone", BACKBONE, "--head", exported / "fr.safetensors")
    assert str(file) in line


def test_audio_too_short_for_the_encoder(refused, exported, tmp_path):
    import numpy
    import soundfile

    file = tmp_path / "click.wav"
    soundfile.write(file, numpy.zeros(800), 16000)
    line = refused("decode", file, "--backbone", BACKBONE, "--head", exported / "fr.safetensors")
    assert "click.wav" in line


@pytest.mark.parametrize(
    ("option", "value", "nearest"),
    [("--decoding-method", "greedy", "greedy_search"), ("--decoding-method", "fast_beam", "fast_beam_search")],
)
def test_an_unknown_method_suggests_one(refused, data, option, value, nearest):
    assert nearest in refused("decode", "--backbone", BACKBONE, "--data", data, "--no-heads", option, value)


def test_heads_or_no_heads_must_be_said(refused, data):
    assert "--no-heads" in refused("decode", "--backbone", BACKBONE, "--data", data)


def test_a_split_that_is_not_there(refused, data):
    line = refused("decode", "--backbone", BACKBONE, "--data", data, "--no-heads", "--split", "tset")
    assert "did you mean 'test'?" in line
