"""`hra export-onnx` as a user meets it: what is refused, and what the folder says of itself."""

import shlex
import sys

import pytest
from builders import refused

from hra_cli.export.export_config import ExportConfig
from hra_cli.export.export_onnx import export_onnx
from hra_cli.export.export_record import read_record

from .conftest import TASKS, run, write_heads


def test_the_folder_says_how_it_is_run(whole):
    text = (whole.folder / "README.md").read_text(encoding="utf-8")
    command = text[text.index("    sherpa-onnx-offline") : text.index("Another task")]
    assert shlex.split(command.replace("\\\n", "")) == [
        "sherpa-onnx-offline", "--encoder=encoder-de.onnx", "--decoder=decoder.onnx", "--joiner=joiner.onnx",
        "--tokens=tokens.txt", "speech.wav",
    ]  # fmt: skip
    for name in ("encoder-TASK.int8.onnx", "encoder-any.fp16.onnx", "backbone.data"):
        assert f"`{name}`" in text
    record = read_record(whole.folder)
    assert list(record.tasks) == sorted(TASKS)
    assert {f"encoder-{task}{variant}.onnx" for task in TASKS for variant in record.variants} <= {
        file.name for file in whole.folder.iterdir()
    }


def test_a_name_that_a_shell_would_run_is_quoted(whole):
    from hra_cli.export.folder_guide import folder_guide

    config = ExportConfig(whole.backbone, whole.folder, no_heads=True, chunk_size=32, left_context_frames=128)
    text = folder_guide(config, ["o'neil $(x)"])
    command = text[text.index("    sherpa-onnx") : text.index("Another task")]
    assert shlex.split(command.replace("\\\n", ""))[1] == "--encoder=encoder-o'neil $(x).onnx"
    assert '"$modelDir/encoder-o\'neil \\$(x).onnx"' in text
    assert "OnlineRecognizer" in text


def test_the_folder_of_a_frozen_recogniser_says_nothing_of_tasks(tmp_path):
    from hra_cli.export.folder_guide import folder_guide

    text = folder_guide(ExportConfig(tmp_path, tmp_path / "out", no_heads=True, fp16=True), [])
    assert "the frozen recogniser alone, whole utterances" in text
    assert "Another task" not in text
    assert "| `encoder.fp16.onnx` | the frozen recogniser's encoder, fp16 |" in text


def test_tasks_are_chosen(whole, tmp_path, capfd):
    arguments = ["--backbone", whole.backbone, "--heads", whole.heads, "--task", "fr", "--output", tmp_path / "out"]
    run("export-onnx", *arguments)
    assert "how to run it:" in capfd.readouterr().out
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md", "backbone.data", "decoder.onnx", "encoder-any.onnx", "encoder-fr.onnx", "encoder.onnx",
        "export.json", "joiner.onnx", "tokens.txt",
    }  # fmt: skip
    for name in names - {"README.md", "export.json", "encoder-any.onnx"}:
        assert (tmp_path / "out" / name).read_bytes() == (whole.folder / name).read_bytes(), "the same twice"


def test_what_is_there_is_not_replaced(whole, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with refused("is there already; choose another folder"):
        export_onnx(ExportConfig(whole.backbone, tmp_path, no_heads=True))
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give heads with --exp-dir, --heads or --head, or export the frozen model with --no-heads"),
        ({"no_heads": True, "exp_dir": "exp"}, "not both"),
        ({"no_heads": True, "tasks": ("de",)}, "--task chooses heads"),
        ({"no_heads": True, "controller": "c"}, "--controller has no effect with --no-heads"),
        ({"no_heads": True, "chunk_size": 32}, "a stream needs --chunk-size and --left-context-frames"),
        ({"no_heads": True, "chunk_size": 32, "left_context_frames": 48}, "must be a multiple of --chunk-size 32"),
        ({"no_heads": True, "left_context_frames": 32}, "needs --chunk-size"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, message):
    with refused(message):
        ExportConfig(backbone=tmp_path, output=tmp_path / "out", **options)


def test_what_cannot_be_exported_leaves_nothing(whole, tmp_path):
    for options, message in (
        ({"heads_dir": whole.heads, "tasks": ("ed",)}, "no head for task 'ed'"),
        ({"no_heads": True, "chunk_size": 16, "left_context_frames": 32}, "causal"),
        ({"heads_dir": tmp_path}, "has no heads"),
    ):
        with refused(message):
            export_onnx(ExportConfig(whole.backbone, tmp_path / "deep" / "out", **options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tasks", [["Any"], ["de", "de.int8"]])
def test_tasks_whose_files_would_have_one_name_are_refused(whole, tmp_path, tasks):
    heads = write_heads(tmp_path / "heads", whole.backbone, tasks)
    with refused("would both be encoder-", tasks[0]):
        export_onnx(ExportConfig(whole.backbone, tmp_path / "out", heads_dir=heads, int8=True))
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_named(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("onnxruntime cannot be imported", "pip install -e '.[export]'"):
        export_onnx(ExportConfig(whole.backbone, tmp_path / "out", no_heads=True))
    assert list(tmp_path.iterdir()) == []
