import subprocess
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


def parse(*arguments):
    script = f"""
        set -euo pipefail
        num_epochs=3
        name=
        help_message="the help message"
        . {RECIPES}/utils/parse_options.sh
        echo "$num_epochs|$name|$*"
    """
    return subprocess.run(["bash", "-c", script, "run.sh", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "3||"),
        (["--num-epochs", "5"], "5||"),
        (["--num-epochs=5", "--name=a=b"], "5|a=b|"),
        (["--name", "two words", "--num_epochs", "7"], "7|two words|"),
        (["--name", "--dashes"], "3|--dashes|"),
        (["--name=", "rest", "--num-epochs", "1"], "3||rest --num-epochs 1"),
        (["--name", "$(echo run)", "--", "--rest"], "3|$(echo run)|--rest"),
    ],
)
def test_options_set_variables(arguments, expected):
    done = parse(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{expected}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "5"], "run.sh: error: unknown option --epochs; see run.sh --help\n"),
        (["--epochs=5"], "run.sh: error: unknown option --epochs; see run.sh --help\n"),
        (["--PATH", "/tmp"], "run.sh: error: unknown option --PATH; see run.sh --help\n"),
        (["--a[0]", "1"], "run.sh: error: unknown option --a[0]; see run.sh --help\n"),
        (["--name"], "run.sh: error: option --name needs a value; see run.sh --help\n"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    done = parse(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_help():
    done = parse("--name", "x", "--help")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the help message\n", "")


def test_run_sh_can_be_asked_for_help_and_refuses_arguments():
    run = RECIPES / "accents" / "run.sh"
    asked = subprocess.run([str(run), "--help"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0
    assert "--stop-stage" in asked.stdout

    refused = subprocess.run([str(run), "fr"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "unexpected argument 'fr'" in refused.stderr
