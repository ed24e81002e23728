"""Options: what help says of them, what a mistake in them looks like, and where their defaults stand."""

import dataclasses

import pytest
from typer.main import get_command

from hra_cli.adapter.head_file import DTYPES
from hra_cli.app import app, main
from hra_cli.backbone.options import PRECISIONS, BackboneOptions
from hra_cli.comparison.plan import CompareConfig
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import RandomSplit
from hra_cli.experiment.config import TrainConfig
from hra_cli.experiment.export_options import ExportOptions
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.transducer.names import LOSSES, RNNT_TYPES, SEARCHES
from hra_cli.transducer.search_options import SearchOptions


@pytest.fixture
def shown(capfd, monkeypatch):
    """Runs hra in this process: its exit code, and what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        printed = capfd.readouterr()
        return stopped.value.code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("train", [*RNNT_TYPES, *LOSSES, *PRECISIONS, "linear", "ffn", "auto", "cpu", "cuda", "cuda:N"]),
        ("decode", [*SEARCHES, *PRECISIONS, "train", "dev", "test", "cuda:N"]),
        ("compare", [*SEARCHES, *RNNT_TYPES, "single", "multi", "hra-ffn", "hra-no-recurrence"]),
        ("export-head", list(DTYPES)),
    ],
)
def test_help_lists_what_can_be_chosen(shown, command, names):
    code, out, _ = shown(command, "--help")
    assert code == 0
    words = out.replace(",", " ").replace(".", " ").replace(":", " ").replace("(", " ").split()
    assert {name.replace(":", " ").split()[0] for name in names} <= set(words)


@pytest.mark.parametrize("arguments", [[], ["prepare"]])
def test_no_arguments_show_the_help(shown, arguments):
    code, out, err = shown(*arguments)
    assert code == 2
    assert "Usage: hra" in out
    assert not err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["no such command 'trian'", "train", "'hra --help'"]),
        (["train", "--num-epohcs", "3"], ["no such option", "--num-epohcs", "--num-epochs", "'hra train --help'"]),
        (["train"], ["missing option '--backbone'", "'hra train --help'"]),
        (["prepare", "fsdd"], ["missing argument", "'hra prepare fsdd --help'"]),
        (["train", "--lr", "fast"], ["invalid value for '--lr'", "valid"]),
        (["train", "--hidden", "6.5"], ["invalid value for '--hidden'", "valid int"]),
        (["train", "--lr"], ["option '--lr' requires an argument"]),
        (["report", "exp", "more", "--output", "report.html"], ["unexpected extra argument", "more"]),
        (["train", "--rnnt-type", "modifed"], ["no such --rnnt-type: 'modifed'; did you mean 'modified'?"]),
        (["train", "--loss", "k3"], ["no such --loss: 'k3'"]),
        (["train", "--precision", "float8"], ["no such --precision: 'float8'; did you mean 'float32'?"]),
        (["train", "--head", "lineal"], ["no such --head: 'lineal'; did you mean 'linear'?"]),
        (["decode", "--split", "tset"], ["no such --split: 'tset'; did you mean 'test'?"]),
        (["export-head", "--dtype", "int8"], ["no such --dtype: 'int8'", "float32"]),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(refused, arguments, words):
    line = refused(*arguments)
    for word in words:
        assert word in line


def test_an_interruption_is_one_line(shown, monkeypatch, tmp_path):
    def interrupted(exp_dir, output):
        raise KeyboardInterrupt

    monkeypatch.setattr("hra_cli.report.write.write_report", interrupted)
    code, _, err = shown("report", str(tmp_path), "--output", str(tmp_path / "report.html"))
    assert code == 130
    assert err == "hra: interrupted\n"


@pytest.mark.parametrize(
    ("path", "configurations"),
    [
        (["train"], [TrainConfig, BackboneOptions]),
        (["decode"], [DecodeConfig, SearchOptions, BackboneOptions]),
        (["compare"], [CompareConfig, BackboneOptions]),
        (["prepare", "cuts"], [PrepareOptions, RandomSplit]),
        (["prepare", "fsdd"], [PrepareOptions]),
        (["info"], [BackboneOptions]),
        (["export-head"], [ExportOptions]),
    ],
)
def test_the_command_line_and_python_have_the_same_defaults(path, configurations):
    command = get_command(app)
    for name in path:
        command = command.commands[name]
    options = {option.name: option for option in command.params}
    compared = []
    for configuration in configurations:
        for field in dataclasses.fields(configuration):
            option, default = options.get(field.name), field.default
            if option is None or option.required or default == ():
                continue
            if isinstance(default, tuple):  # a list, which the command line takes as text with commas
                default = ",".join(map(str, default))
            assert option.default == default, field.name
            compared.append(field.name)
    assert compared


def test_a_comparison_trains_as_train_does():
    for field in dataclasses.fields(CompareConfig):
        if field.name in TrainConfig.__dataclass_fields__ and field.name != "tasks":
            assert field.default == TrainConfig.__dataclass_fields__[field.name].default, field.name


def test_the_dtypes_of_head_files_are_those_that_export_offers():
    assert set(DTYPES) == set(PRECISIONS)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (command, option, value)
        for command, options in {
            "train": ("--lr", "--max-duration", "--pos-head-dim", "--num-workers"),
            "decode": ("--max-duration", "--beam", "--pos-head-dim", "--num-workers"),
            "compare": ("--budget-seconds", "--max-duration", "--pos-head-dim"),
        }.items()
        for option in options
        for value in (("-1",) if option in ("--num-workers", "--pos-head-dim") else ("0", "nan", "inf"))
    ],
)
def test_a_size_that_is_none_is_one_line_and_leaves_nothing(shown, tmp_path, command, option, value):
    folder = tmp_path / "exp"
    where = ["--no-heads"] if command == "decode" else ["--exp-dir", str(folder)]
    code, _, err = shown(command, "--backbone", "b", "--data", "d", *where, option, value)
    assert code == 2
    assert err.count("\n") == 1
    assert f"hra: error: {option} must be " in err
    assert not folder.exists()


def test_a_file_that_cannot_be_written_is_one_line(shown, experiment, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    code, _, err = shown("report", str(experiment), "--output", str(file / "report.html"))
    assert code == 2
    assert err.count("\n") == 1
    assert str(file) in err
