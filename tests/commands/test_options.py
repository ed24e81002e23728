"""Options: what help says of them, what a mistake in them looks like, and where their defaults stand."""

import dataclasses
import re
from typing import get_args, get_type_hints

import pytest
from typer.main import get_command

from hra_cli.adapter.head_file import DTYPES
from hra_cli.app import app, main
from hra_cli.backbone.options import PRECISIONS, BackboneOptions
from hra_cli.comparison.plan import CompareConfig
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import RandomSplit
from hra_cli.data.text_form import TextOptions
from hra_cli.experiment.config import ONBOARD_MAX_DURATION, TrainConfig
from hra_cli.experiment.export_options import ExportOptions
from hra_cli.recognition.audio_options import CHANNELS, FORMATS, SEGMENTS, AudioOptions
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
        ("decode", [*SEARCHES, *PRECISIONS, "train", "dev", "test", "cuda:N", *FORMATS, *CHANNELS, *SEGMENTS]),
        ("compare", [*SEARCHES, *RNNT_TYPES, "single", "multi", "hra-ffn", "hra-no-recurrence"]),
        ("export-head", list(DTYPES)),
    ],
)
def test_help_lists_what_can_be_chosen(shown, command, names):
    code, out, _ = shown(command, "--help")
    assert code == 0
    words = out.replace(",", " ").replace(".", " ").replace(":", " ").replace("(", " ").split()
    assert {name.replace(":", " ").split()[0] for name in names} <= set(words)


@pytest.mark.parametrize("columns", ["80", "60"])
def test_names_of_options_are_whole_on_a_narrow_terminal(shown, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    tried = 0
    for path, command in every_command(get_command(app)):
        _, out, _ = shown(*path, "--help")
        assert max(map(len, out.splitlines())) <= int(columns)
        words = set(re.split(r"[^\w@/-]+", out))
        names = {name for option in command.params for name in (*option.opts, *option.secondary_opts) if "--" in name}
        assert names <= words, path
        tried += len(names)
    assert tried > 100


def every_command(command, path=()):
    """(words after hra, command) of every command and group."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*path, name))


def test_help_says_all_that_is_said_of_an_option_or_a_command(shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert "hf://OWNER/NAME[@REVISION]" in shown("train", "--help")[1]
    whole = "Decode prepared data, audio files or a microphone, every utterance with its own task's head."
    assert whole in " ".join(shown("--help")[1].split())


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
        (["decode"], [DecodeConfig, AudioOptions, SearchOptions, BackboneOptions]),
        (["compare"], [CompareConfig, BackboneOptions]),
        (["prepare", "cuts"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "fsdd"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "kaldi"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "table"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "folder"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "shar"], [PrepareOptions, TextOptions, RandomSplit]),
        (["prepare", "lhotse"], [PrepareOptions, TextOptions, RandomSplit]),
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


def test_onboarding_has_the_defaults_of_training_but_for_its_batches_of_many_tasks():
    options = {option.name: option for option in get_command(app).commands["onboard"].params}
    fields = [field for field in dataclasses.fields(TrainConfig) if field.name in options and field.name != "tasks"]
    given = {field.name: options[field.name].default for field in fields if not options[field.name].required}
    assert given == {
        **{field.name: field.default for field in fields if field.name in given},
        "max_duration": ONBOARD_MAX_DURATION,
    }


def test_a_comparison_trains_as_train_does():
    for field in dataclasses.fields(CompareConfig):
        if field.name in TrainConfig.__dataclass_fields__ and field.name != "tasks":
            assert field.default == TrainConfig.__dataclass_fields__[field.name].default, field.name


def test_the_dtypes_of_head_files_are_those_that_export_offers():
    assert set(DTYPES) == set(PRECISIONS)


TOO_MUCH = "1000000000000"
POSITIVE = ("0", "-1", TOO_MUCH)
POSITIVE_NUMBER = ("0", "-1", "nan", "inf", "-inf", "1e39")
NOT_NEGATIVE = ("-1", "99999999999999999999")
CHUNK = ("0", "-2", TOO_MUCH)  # -1 is the whole utterance
LEFT = ("-2", TOO_MUCH)
OF_A_SOURCE = {
    "--test-fraction": ("-0.1", "1", "nan", "inf"),
    "--dev-fraction": ("-0.1", "1", "nan", "inf"),
    "--seed": NOT_NEGATIVE,
    "--num-jobs": POSITIVE,
}
WRONG = {
    "train": {
        "--hidden": POSITIVE,
        "--inner": POSITIVE,
        "--max-duration": POSITIVE_NUMBER,
        "--num-epochs": POSITIVE,
        "--lr": POSITIVE_NUMBER,
        "--seed": NOT_NEGATIVE,
        "--pos-head-dim": POSITIVE,
        "--chunk-size": (*CHUNK, "16,0", "16,-2", "sixteen", "16,3.5", ",", ""),
        "--left-context-frames": (*LEFT, "64,0", "64,-2", "64,all", ",", ""),
        "--validate-chunk-size": CHUNK,
        "--validate-left-context-frames": LEFT,
        "--num-workers": NOT_NEGATIVE,
    },
    "decode": {
        "--max-heads": POSITIVE,
        "--beam-size": POSITIVE,
        "--beam": POSITIVE_NUMBER,
        "--max-contexts": POSITIVE,
        "--max-states": POSITIVE,
        "--max-duration": POSITIVE_NUMBER,
        "--pos-head-dim": POSITIVE,
        "--chunk-size": CHUNK,
        "--left-context-frames": LEFT,
        "--num-workers": NOT_NEGATIVE,
        "--rule1-min-trailing-silence": POSITIVE_NUMBER,
        "--rule2-min-trailing-silence": POSITIVE_NUMBER,
        "--rule3-min-utterance-length": POSITIVE_NUMBER,
    },
    "compare": {
        "--num-epochs": POSITIVE,
        "--budget-seconds": POSITIVE_NUMBER,
        "--max-duration": POSITIVE_NUMBER,
        "--pos-head-dim": POSITIVE,
        "--chunk-size": (*CHUNK, "16,0", "16,-2", "sixteen", "16,3.5", ",", ""),
        "--left-context-frames": (*LEFT, "64,0", "64,-2", "64,all", ",", ""),
        "--validate-chunk-size": CHUNK,
        "--validate-left-context-frames": LEFT,
        "--lrs": POSITIVE_NUMBER,
        "--seeds": NOT_NEGATIVE,
        # Of --modes onboard, and refused without it; with it: tests/comparison/test_onboarding.py.
        "--shots": NOT_NEGATIVE,
        "--folds": POSITIVE,
        "--onboard-epochs": POSITIVE,
    },
    "prepare cuts": OF_A_SOURCE,
    "prepare fsdd": OF_A_SOURCE,
    "prepare kaldi": OF_A_SOURCE,
    "prepare table": OF_A_SOURCE,
    "prepare folder": OF_A_SOURCE,
    "prepare shar": OF_A_SOURCE,
    "prepare lhotse": OF_A_SOURCE,
    "info": {"--pos-head-dim": POSITIVE},
    "info --growth": {"--width": POSITIVE, "--layers": POSITIVE},
}


def given_to(command, folder):
    """What the command cannot do without; neither recogniser nor corpus is there."""
    here = ["--backbone", str(folder / "b"), "--data", str(folder / "d")]
    return {
        "train": [*here, "--exp-dir", str(folder / "exp")],
        "decode": [*here, "--no-heads", "--output-dir", str(folder / "exp")],
        "compare": [*here, "--exp-dir", str(folder / "exp")],
        "prepare cuts": [str(folder / "cuts.jsonl.gz"), "--task-by", "speaker", "--output-dir", str(folder / "exp")],
        "prepare fsdd": [str(folder / "corpus"), "--output-dir", str(folder / "exp")],
        "prepare kaldi": [str(folder / "corpus"), "--output-dir", str(folder / "exp")],
        "prepare table": [str(folder / "table.csv"), "--output-dir", str(folder / "exp")],
        "prepare folder": [str(folder / "corpus"), "--output-dir", str(folder / "exp")],
        "prepare shar": [str(folder / "corpus"), "--output-dir", str(folder / "exp")],
        "prepare lhotse": ["yesno", str(folder / "corpus"), "--output-dir", str(folder / "exp")],
        "info": [str(folder / "b")],
        "info --growth": [],
    }[command]


@pytest.mark.parametrize(("command", "option"), [(command, option) for command in WRONG for option in WRONG[command]])
def test_a_value_that_cannot_be_is_one_line_and_leaves_nothing(shown, tmp_path, command, option):
    for value in WRONG[command][option]:
        code, out, err = shown(*command.split(), *given_to(command, tmp_path), f"{option}={value}")
        assert (code, out) == (2, ""), value
        assert err.count("\n") == 1
        assert f"hra: error: {option} " in err or f"and {option} " in err
        assert not list(tmp_path.iterdir())


def test_every_number_that_a_command_takes_is_tried_above():
    numbers = set()
    for path in WRONG:
        command = get_command(app)
        for name in path.split():
            command = command if name == "--growth" else command.commands[name]
        for name, kind in get_type_hints(command.callback).items():
            if {int, float} & {kind, *get_args(kind)}:
                numbers.add((path, f"--{name.replace('_', '-')}"))
    named = {(command, option) for command, options in WRONG.items() for option in options}
    named = {(command.removesuffix(" --growth"), option) for command, option in named}
    numbers = {(command.removesuffix(" --growth"), option) for command, option in numbers}
    assert numbers - named == {("compare", "--num-jobs")}  # of the folder, not of the models: test_compare.py
    lists = {("compare", "--lrs"), ("compare", "--seeds"), ("compare", "--shots")}
    lists |= {(name, option) for name in ("train", "compare") for option in ("--chunk-size", "--left-context-frames")}
    assert named - numbers == lists


@pytest.mark.parametrize(
    ("arguments", "option", "where"),
    [
        (["train", "--controller", "c.safetensors", "--hidden", "128"], "--hidden", "with --controller"),
        (["train", "--controller", "c.safetensors", "--hidden", "64"], "--hidden", "with --controller"),  # the default
        (["train", "--inner", "64"], "--inner", "with --head linear"),
        (["decode", "--no-heads", "--max-heads", "5"], "--max-heads", "with --no-heads"),
        (["decode", "--head", "h", "--max-heads", "5"], "--max-heads", "with --head"),
        (["decode", "--no-heads", "--beam-size", "4"], "--beam-size", "with --decoding-method greedy_search"),
        (["decode", "--no-heads", "--max-states", "64"], "--max-states", "with --decoding-method greedy_search"),
        (["decode", "--no-heads", "--controller", "c"], "--controller", "with --no-heads"),
        (["decode", "--exp-dir", "e", "--controller", "c"], "--controller", "with --exp-dir"),
        (["decode", "--no-heads", "--exp-dir", "e", "--output-dir", "o"], "--exp-dir", "with --no-heads"),
        (["decode", "--audio", "--no-heads", "--task", "nobody"], "--task", "on audio files with --no-heads"),
        (["decode", "--audio", "--no-heads", "--exp-dir", "e"], "--exp-dir", "with --no-heads"),
        (["decode", "--audio", "--no-heads", "--json", "o"], "--json", "on audio files; use --format json"),
        (["decode", "--no-heads", "--format", "ctm"], "--format", "without audio files"),
        (["decode", "--no-heads", "--channels", "each"], "--channels", "without audio files"),
        (["decode", "--no-heads", "--segment", "vad"], "--segment", "without audio files"),
        (["decode", "--audio", "--no-heads", "--split", "test"], "--split", "on audio files"),
        (["compare", "--budget-seconds", "9", "--num-epochs", "20"], "--num-epochs", "with --budget-seconds"),
        (["prepare", "cuts", "--split-by", "custom.s", "--seed", "42"], "--seed", "with --split-by"),
        (["prepare", "cuts", "--split-by", "custom.s", "--test-fraction", "0.1"], "--test-fraction", "with --split-by"),
        (["info", "--layers", "3"], "--layers", "without --growth"),
        (["info", "--methods", "lora"], "--methods", "without --growth"),
        (["info", "b", "--growth", "--width", "1536"], "--width", "with a PATH"),
        (["info", "--pos-head-dim", "4"], "--pos-head-dim", "without the PATH of a recogniser"),
    ],
)
def test_an_option_without_an_effect_is_refused(refused, tmp_path, monkeypatch, arguments, option, where):
    monkeypatch.chdir(tmp_path)
    needed = {
        "train": ["--backbone", "b", "--data", "d", "--exp-dir", "exp"],
        "decode": ["--backbone", "b", *(["a.wav"] if "--audio" in arguments else ["--data", "d"])],
        "compare": ["--backbone", "b", "--data", "d", "--exp-dir", "exp"],
        "prepare": ["c.jsonl", "--task-by", "speaker", "--output-dir", "data"],
        "info": [],
    }[arguments[0]]
    line = refused(*(one for one in arguments if one != "--audio"), *needed)
    assert line.startswith(f"hra: error: {option} ")
    assert f"has no effect {where}" in line
    assert not list(tmp_path.iterdir())


def test_an_option_for_recognisers_is_refused_for_a_head(refused, experiment):
    head = next((experiment / "heads").iterdir())
    assert "--pos-head-dim has no effect on what is no recogniser" in refused("info", head, "--pos-head-dim", "4")


def test_a_file_that_cannot_be_written_is_one_line(shown, experiment, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    code, _, err = shown("report", str(experiment), "--output", str(file / "report.html"))
    assert code == 2
    assert err.count("\n") == 1
    assert str(file) in err
