"""What the Tab key offers, asked as the shell asks."""

import os
import subprocess
import sys

import pytest
from speech import hra

from hra_cli.transducer.names import SEARCHES


def offered(words, shell="bash"):
    """What is offered for the last of `words`, which is yet to be typed or to be ended."""
    line = words.split(" ")
    asked = {
        "_HRA_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(line) - 1),
        "_TYPER_COMPLETE_ARGS": words,
    }
    return hra(env={**os.environ, **asked}).stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("hra de", ["decode"]),
        ("hra prepare f", ["fsdd", "folder"]),
        ("hra decode --decoding-m", ["--decoding-method"]),
        ("hra decode --decoding-method ", list(SEARCHES)),
        ("hra compare --decoding-method f", ["fast_beam_search"]),
        ("hra decode --split ", ["train", "dev", "test"]),
        ("hra train --rnnt-type m", ["modified"]),
        ("hra train --loss ", ["hra", "k2"]),
        ("hra train --head ", ["linear", "ffn"]),
        ("hra train --precision bf", ["bfloat16"]),
        ("hra export-head --dtype ", ["float32", "bfloat16", "float16"]),
        ("hra compare --methods full,hra-l", ["full,hra-linear"]),
        ("hra compare --modes m", ["multi"]),
        ("hra decode --device c", ["cpu", "cuda", "cuda:0"]),
        # A mistake before it is no reason to be silent.
        ("hra train --precision flaot32 --head l", ["linear"]),
    ],
)
def test_the_shell_completes(words, completions):
    assert offered(words) == completions


def test_zsh_shows_what_each_choice_is():
    shown = "\n".join(offered("hra decode --decoding-method ", "zsh"))
    assert SEARCHES["modified_beam_search"] in shown


def test_completion_can_be_switched_on():
    # From a bash, since hra asks which shell has started it.
    command = ["bash", "-c", f"{sys.executable} -m hra_cli --show-completion; true"]
    script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "_HRA_COMPLETE=complete_bash" in script
    assert "--install-completion" in hra("--help").stdout
