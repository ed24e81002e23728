"""Help, the version and completion come at once: they import nothing that takes long."""

import json
import os
import subprocess
import sys

from typer.main import get_command

from hra_cli.app import app

# pydantic, too: typer checks values with it, and there are none to check.
HEAVY = (
    "k2", "lhotse", "matplotlib", "numpy", "onnx", "onnxruntime", "pydantic", "safetensors", "scipy", "sentencepiece",
    "sherpa_onnx", "soundfile", "tensorboard", "torch",
)  # fmt: skip
# Runs hra with each of the given command lines in one process, and says what was imported after each.
PROGRAM = """
import json, sys
from hra_cli.app import main
imported = {}
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code, arguments
    imported[" ".join(arguments)] = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps(imported), file=sys.stderr)
"""


def imported_by(*command_lines, **environment):
    command = [sys.executable, "-c", PROGRAM, json.dumps(command_lines)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


def all_commands(command=None, path=()):
    """Every command, [], ["train"], ["prepare"], ["prepare", "cuts"] and so on."""
    command = command or get_command(app)
    yield list(path)
    for name, below in getattr(command, "commands", {}).items():
        yield from all_commands(below, (*path, name))


def test_version_and_help_import_nothing_heavy():
    lines = [["--version"], *([*command, "--help"] for command in all_commands())]
    assert ["prepare", "cuts", "--help"] in lines
    found = imported_by(*lines)
    assert len(found) == len(lines)
    assert "typer" in found["--version"]
    assert {line: sorted(set(HEAVY) & set(names)) for line, names in found.items()} == {line: [] for line in found}


def test_completion_imports_no_torch():
    completion = {"_HRA_COMPLETE": "complete_bash", "COMP_WORDS": "hra decode --decoding-method ", "COMP_CWORD": "3"}
    (names,) = imported_by([], **completion).values()
    assert "typer" in names
    assert not set(HEAVY) - {"pydantic"} & set(names)


def test_a_command_that_runs_imports_what_the_test_looks_for():
    """So that the tests above could fail."""
    assert {"torch", "lhotse"} <= set(imported_by(["info"])["info"])
