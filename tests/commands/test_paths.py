"""Every option that takes a path, given one that cannot be: one line that names it, and nothing is written."""

import os
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from speech import BACKBONE
from typer.main import get_command

from hra_cli.app import app

LONG = "x" * 300
PATHS = (LONG, "a/" * 3000 + "b", "loop", "loop/below", "file/below", "\udcff\x1b[31m/below")
# The commands, with `@` for each of their paths in turn; the others are there.
COMMANDS = {
    "train --backbone": ["train", "--backbone", "@", "--data", "DATA", "--exp-dir", "exp"],
    "train --data": ["train", "--backbone", "BACKBONE", "--data", "@", "--exp-dir", "exp"],
    "train --exp-dir": ["train", "--backbone", "BACKBONE", "--data", "DATA", "--exp-dir", "@"],
    "train --controller": ["train", "--backbone", "BACKBONE", "--data", "DATA", "--exp-dir", "exp", "--controller", "@"],  # noqa: E501
    "onboard --backbone": ["onboard", "--backbone", "@", "--data", "DATA", "--controller", "EXP/controller.safetensors", "--exp-dir", "exp"],  # noqa: E501
    "onboard --data": ["onboard", "--backbone", "BACKBONE", "--data", "@", "--controller", "EXP/controller.safetensors", "--exp-dir", "exp"],  # noqa: E501
    "onboard --controller": ["onboard", "--backbone", "BACKBONE", "--data", "DATA", "--controller", "@", "--exp-dir", "exp"],  # noqa: E501
    "onboard --exp-dir": ["onboard", "--backbone", "BACKBONE", "--data", "DATA", "--controller", "EXP/controller.safetensors", "--exp-dir", "@"],  # noqa: E501
    "decode audio": ["decode", "@", "--backbone", "BACKBONE", "--no-heads"],
    "decode --backbone": ["decode", "--backbone", "@", "--data", "DATA", "--no-heads"],
    "decode --data": ["decode", "--backbone", "BACKBONE", "--data", "@", "--no-heads"],
    "decode --exp-dir": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--exp-dir", "@"],
    "decode --heads": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--heads", "@"],
    "decode --head": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--head", "@"],
    "decode --controller": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--heads", "EXP/heads", "--controller", "@"],  # noqa: E501
    "decode --output-dir": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--no-heads", "--output-dir", "@"],
    "decode --tasks-from": ["decode", "--backbone", "BACKBONE", "--heads", "EXP/heads", "--tasks-from", "@"],
    "decode --json": ["decode", "--backbone", "BACKBONE", "--data", "DATA", "--no-heads", "--json", "@"],
    "compare --backbone": ["compare", "--backbone", "@", "--data", "DATA", "--exp-dir", "exp"],
    "compare --data": ["compare", "--backbone", "BACKBONE", "--data", "@", "--exp-dir", "exp"],
    "compare --exp-dir": ["compare", "--backbone", "BACKBONE", "--data", "DATA", "--exp-dir", "@"],
    "export-head --exp-dir": ["export-head", "--exp-dir", "@", "--task", "fr", "--output", "o.safetensors"],
    "export-head --output": ["export-head", "--exp-dir", "EXP", "--task", "fr", "--output", "@.safetensors"],
    "export-head --pack": ["export-head", "--exp-dir", "EXP", "--all", "--pack", "@.safetensors"],
    "export-onnx --backbone": ["export-onnx", "--backbone", "@", "--no-heads", "--output", "onnx"],
    "export-onnx --exp-dir": ["export-onnx", "--backbone", "BACKBONE", "--exp-dir", "@", "--output", "onnx"],
    "export-onnx --heads": ["export-onnx", "--backbone", "BACKBONE", "--heads", "@", "--output", "onnx"],
    "export-onnx --head": ["export-onnx", "--backbone", "BACKBONE", "--head", "@", "--output", "onnx"],
    "export-onnx --controller": ["export-onnx", "--backbone", "BACKBONE", "--heads", "EXP/heads", "--controller", "@", "--output", "onnx"],  # noqa: E501
    "export-onnx --output": ["export-onnx", "--backbone", "BACKBONE", "--no-heads", "--output", "@"],
    "export-onnx --check": ["export-onnx", "--backbone", "BACKBONE", "--no-heads", "--output", "onnx", "--check", "@"],
    "check-export folder": ["check-export", "@", "--data", "DATA"],
    "check-export --data": ["check-export", "ONNX", "--data", "@"],
    "check-export --json": ["check-export", "ONNX", "--data", "DATA", "--json", "@"],
    "report exp_dir": ["report", "@", "--output", "report.html"],
    "report --output": ["report", "EXP", "--output", "@"],
    "info path": ["info", "@"],
    "prepare cuts cuts_file": ["prepare", "cuts", "@", "--task-by", "speaker", "--output-dir", "data"],
    "prepare cuts --output-dir": ["prepare", "cuts", "CUTS", "--task-by", "speaker", "--output-dir", "@"],
    "prepare cuts --backbone": ["prepare", "cuts", "CUTS", "--task-by", "speaker", "--output-dir", "data", "--backbone", "@"],  # noqa: E501
    "prepare fsdd corpus_dir": ["prepare", "fsdd", "@", "--output-dir", "data"],
    "prepare kaldi folders": ["prepare", "kaldi", "@", "--output-dir", "data"],
    "prepare kaldi --root": ["prepare", "kaldi", "KALDI", "--root", "@", "--output-dir", "data"],
    "prepare table files": ["prepare", "table", "@.csv", "--output-dir", "data"],
    "prepare table --audio-dir": ["prepare", "table", "TABLE", "--audio", "a", "--text", "t", "--audio-dir", "@", "--output-dir", "data"],  # noqa: E501
    "prepare folder corpus_dir": ["prepare", "folder", "@", "--output-dir", "data"],
    "prepare shar archives": ["prepare", "shar", "@", "--output-dir", "data"],
    "prepare shar --fetch-to": ["prepare", "shar", "http://127.0.0.1:9/cuts.0.jsonl", "--fetch-to", "@", "--output-dir", "data"],  # noqa: E501
    "prepare lhotse corpus_dir": ["prepare", "lhotse", "yesno", "@", "--output-dir", "data"],
}  # fmt: skip
# What is written may have an odd name; and a link in the place of a file is replaced.
FOLDERS_WRITTEN = {
    "export-onnx --output",
    "train --exp-dir",
    "compare --exp-dir",
    "decode --output-dir",
    "prepare cuts --output-dir",
    "prepare shar --fetch-to",
}
PATHS_OR_URLS = {"prepare shar archives"}
FILES_WRITTEN = {
    "check-export --json",
    "decode --json",
    "export-head --output",
    "export-head --pack",
    "report --output",
}
SAME_AS_ABOVE = {
    f"prepare {source} {option}"
    for source in ("fsdd", "kaldi", "table", "folder", "shar", "lhotse")
    for option in ("--output-dir", "--backbone")
}


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """A data folder of Kaldi's, and a table, both without audio."""
    folder = tmp_path_factory.mktemp("lists")
    for name, content in (("wav.scp", "a a.wav"), ("text", "a ONE"), ("table.csv", "a,t")):
        (folder / name).write_text(f"{content}\n")
    return {"KALDI": folder, "TABLE": folder / "table.csv"}


@pytest.mark.parametrize("which", COMMANDS)
def test_a_path_that_cannot_be(refused, data, experiment, lists, tmp_path, monkeypatch, which):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept")
    Path("loop").symlink_to("loop")
    there = {"BACKBONE": BACKBONE, "DATA": data, "EXP": experiment, "EXP/heads": experiment / "heads"}
    there["EXP/controller.safetensors"] = experiment / "controller.safetensors"
    there |= {"CUTS": data.parent / "speech" / "cuts.jsonl.gz", **lists}
    possible = {"loop", PATHS[-1]} if which in FILES_WRITTEN else {PATHS[-1]} if which in FOLDERS_WRITTEN else set()
    for path in (one for one in PATHS if one not in possible):
        line = refused(*(there.get(one, one.replace("@", path)) for one in COMMANDS[which]))
        assert r"\udcff\x1b[31m" in line if "\x1b" in path else path in line
        assert "\x1b" not in line
        assert sorted(os.listdir()) == ["file", "loop"]
    assert Path("file").read_text() == "kept"


def test_every_path_that_a_command_takes_is_tried_above():
    def commands(command, *names):
        yield names, command
        for name, below in getattr(command, "commands", {}).items():
            yield from commands(below, *names, name)

    found = set()
    for names, command in commands(get_command(app)):
        hints = get_type_hints(command.callback) if command.callback else {}
        for one in command.params:
            kind = hints.get(one.name)
            if Path in {kind, *get_args(kind), *(part for inner in get_args(kind) for part in get_args(inner))}:
                found.add(" ".join([*names, one.opts[0] if one.opts[0].startswith("-") else one.name]))
    assert found | PATHS_OR_URLS == set(COMMANDS) | SAME_AS_ABOVE
