"""What the terminal shows: text from outside is text, and no stream that ends early or lacks a character ends in a
traceback."""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table
from speech import BACKBONE, hra

from hra_cli.commands.progress import PlainColumn, RateColumn, progress_bar
from hra_cli.commands.tables import PlainConsole
from hra_cli.commands.terminal import say
from hra_cli.io.plain_text import plain

HOSTILE = "[red]a[/b] :cat: \x1b[31m\x9b1m \u202egnp\n\t\udcff"
SHOWN = r"[red]a[/b] :cat: \x1b[31m\x9b1m \u202egnp\n\t\udcff"


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_text_that_a_terminal_would_obey_is_made_visible():
    assert plain(HOSTILE) == SHOWN
    assert plain(SHOWN) == SHOWN
    assert plain("Žluťoučký kůň, 北京, مرحبا 🐈") == "Žluťoučký kůň, 北京, مرحبا 🐈"


def test_a_name_in_a_table_a_title_a_line_or_a_note_is_text(capsys, wide):
    table = Table("name", HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE, "1")
    PlainConsole().print(table)
    PlainConsole().print(HOSTILE, soft_wrap=True)
    say(HOSTILE, "text")
    say(HOSTILE, error=True)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.strip() for line in lines].count(SHOWN) == 3  # title, caption, line
    assert sum(line.count(SHOWN) for line in lines) == 6
    assert lines[-1] == f"{SHOWN}\ttext"
    assert printed.err == f"{SHOWN}\n"
    assert PlainColumn(lambda task: HOSTILE).render(None).plain == SHOWN


def test_an_error_names_a_hostile_file_as_text(refused):
    assert refused("info", f"/no/{HOSTILE[:-1]}").endswith(f"no such file or folder: /no/{SHOWN[:-6]}")


def test_a_path_that_looks_like_markup_is_shown_whole(experiment, tmp_path):
    output = tmp_path / "[" / "b]x.safetensors"  # rich would take [/b] for the end of something
    done = hra("export-head", "--exp-dir", experiment, "--task", "fr", "--output", output)
    assert done.stdout.startswith(f"{output}: linear head")


def test_a_command_to_type_is_quoted(data, experiment, tmp_path):
    exp_dir = tmp_path / "my exp; touch x"
    shutil.copytree(experiment, exp_dir)
    shown = hra("decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", exp_dir, "--split", "dev").stdout
    (line,) = (line for line in shown.splitlines() if "to look at them" in line)
    assert shlex.split(line.partition(": ")[2]) == ["hra", "report", str(exp_dir), "--output", "report.html"]


def test_a_name_that_ascii_lacks_is_printed_in_an_ascii_locale(tmp_path):
    backbone = tmp_path / "Žluťoučký"
    backbone.symlink_to(BACKBONE)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = hra("info", backbone, anew=True, env={**os.environ, **ascii_only, "COLUMNS": "300"})
    assert r"\u017dlu" in done.stdout.replace(r"\udcc5\udcbd", r"\u017d")
    assert "3,233,129" in done.stdout
    nowhere = hra("info", tmp_path / "é", anew=True, env={**os.environ, **ascii_only}, check=False)
    assert nowhere.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["info", BACKBONE], ["--version"], ["--help"]])
def test_output_that_nobody_reads_is_no_error(arguments):
    running = subprocess.Popen(
        [sys.executable, "-m", "hra_cli", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    running.stdout.close()
    assert running.communicate()[1] == b""


@pytest.mark.parametrize("arguments", [["info"], ["--version"], ["--help"]])
def test_output_to_a_full_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hra_cli", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.startswith("hra: error: ")
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_modules_are_imported_is_one_line():
    command = [sys.executable, "-m", "hra_cli", "info", str(BACKBONE)]
    # The tests may run as a shell's background job, which is deaf to Ctrl-C.
    hearing = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **hearing)
    maps = Path(f"/proc/{running.pid}/maps")
    while "libtorch" not in maps.read_text():
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert (running.returncode, out, err) == (130, b"", b"hra: interrupted\n")


def test_warnings_of_libraries_stay_with_developers():
    program = """
import logging, warnings
from hra_cli.app import main
try:
    main(["--version"])
except SystemExit:
    warnings.warn("a library's warning")
    logging.warning("a library's message")
"""
    quiet = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    asked = subprocess.run([sys.executable, "-W", "default", "-c", program], capture_output=True, text=True, check=True)
    assert "a library's warning" in asked.stderr


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ([(0.0, 5000), (0.001, 0)], "-/s"),  # a finished run that is resumed
        ([(3.0, 250), (3.000001, 250)], "166.7/s"),  # results that come at the same moment
        ([(0.0, 5000), (2.0, 10), (4.0, 10)], "5.0/s"),  # a run that is resumed
        ([(2.0, 1), (4.0, 1)], "2.0 s each"),
    ],
)
def test_the_rate_is_of_what_was_done_now(steps, shown):
    clock = [0.0]
    progress = Progress(console=PlainConsole(file=io.StringIO()), get_time=lambda: clock[0])
    bar = progress.add_task("training", total=sum(number for _, number in steps))
    for clock[0], number in steps:
        progress.advance(bar, number)
    (task,) = progress.tasks
    assert RateColumn().render(task).plain == shown


def test_results_stay_in_their_file_while_a_bar_is_on_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error is a terminal, standard output is a file
    with progress_bar() as progress:
        progress.add_task("decoding", total=1, note="")
        say("a.wav", "TEXT")
    assert capsys.readouterr().out == "a.wav\tTEXT\n"


def test_more_memory_than_there_is_is_one_line(refused, monkeypatch):
    import torch

    monkeypatch.setattr("hra_cli.app.app", lambda **options: torch.empty(1 << 55))
    assert "out of memory; smaller sizes" in refused("info")
