"""What each method costs over tasks: `hra info --growth`."""

import os

import pytest
from builders import refused as refuses
from builders import tiny_backbone
from speech import BACKBONE, hra

from hra_cli.app import main
from hra_cli.baselines.build import between_layers, new_method
from hra_cli.baselines.methods import kinds, parse_method
from hra_cli.comparison.growth import TASKS, growth, growth_of_sizes


def row(shown, label):
    """The numbers of the row of that label, by number of tasks."""
    (line,) = [line for line in shown.splitlines() if label in line]
    return dict(zip(TASKS, [int(cell.replace(",", "")) for cell in line.strip("│ ").split("│")[1:]]))


@pytest.fixture
def shown(capsys):
    """Runs hra in this process and returns what it prints."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    return run


def test_growth_prints_the_papers_sum_whole_when_piped():
    done = hra("info", "--growth", env={**os.environ, "COLUMNS": "80"})
    assert "12,877,952" in done.stdout
    assert row(done.stdout, "HRA linear, H=64")[128] == 128 * (1536 * 64 + 1536) + (64 * 1536 + 2 * 64)
    assert row(done.stdout, "HRA FFN, H=F=64")[1] == 64 * 64 + 64 + 64 * 1536 + 1536 + (64 * 1536 + 2 * 64)
    assert row(done.stdout, "residual adapters, r=32")[10] == 10 * 32 * (2 * 1536 * 32 + 32 + 1536 + 2 * 1536)
    assert "…" not in done.stdout


def test_growth_follows_the_stated_sizes_and_methods(shown):
    table = shown("info", "--growth", "--width", 512, "--layers", 3, "--methods", "hra-linear:8,hra-ffn")
    assert "width 512, 3 layers" in table
    controller, head = 512 * 8 + 2 * 8, 512 * 8 + 512
    assert row(table, "HRA linear, H=8") == {tasks: controller + tasks * head for tasks in TASKS}
    assert "residual" not in table


# The others reach inside.
BETWEEN_LAYERS = [name for name in kinds() if name.partition("-")[0] not in ("full", "bitfit", "lora")]


@pytest.mark.parametrize("name", kinds())
def test_growth_of_a_recogniser_counts_what_is_really_built(name):
    backbone = tiny_backbone()
    method = parse_method(name if kinds()[name].size is None else f"{name}:5")
    tasks = (1, 3, 7)
    found = growth(backbone, [method], tasks)
    assert found.tasks == tasks
    built = []
    for number in tasks:
        names = [f"task-{n}" for n in range(number)]
        if not method.kind.per_task:  # a recogniser per task, or of a part of it
            each = new_method(method, backbone, names, seed=0)[1].parameters()
            built.append(number * sum(p.numel() for p in each if p.requires_grad))
        else:
            built.append(sum(p.numel() for p in new_method(method, backbone, names, seed=0)[1].parameters()))
    assert found.methods == {method.label: built}


@pytest.mark.parametrize("name", BETWEEN_LAYERS)
def test_growth_of_sizes_counts_what_is_really_built(name):
    method = parse_method(f"{name}:5")
    found = growth_of_sizes(24, 4, [method], (3,))
    widths = {f"layers.{number}": 24 for number in range(4)}
    built = between_layers(method, widths, ["ann", "bob", "cho"], seed=0)
    assert found.methods == {method.label: [sum(p.numel() for p in built.parameters())]}


def test_growth_of_a_recogniser_on_disk(shown):
    table = shown("info", BACKBONE, "--growth")
    assert row(table, "full fine-tuning") == {tasks: tasks * 3_233_129 for tasks in TASKS}
    assert row(table, "HRA linear, H=64")[1000] == 10_368 + 1000 * 10_400
    lora = row(table, "LoRA, r=8")
    assert lora == {tasks: tasks * lora[1] for tasks in TASKS}


@pytest.mark.parametrize("method", ["full", "lora", "bitfit"])
def test_growth_of_a_method_that_needs_more_than_sizes_is_refused(refused, method):
    line = refused("info", "--growth", "--methods", method)
    assert f"{method} does not sit between layers" in line


def test_growth_of_an_unknown_method_suggests_one(refused):
    assert "did you mean 'hra-linear'?" in refused("info", "--growth", "--methods", "hra-liner")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--width", "-1"), "--width must be positive, not -1"),
        (("--width", "1000000000"), "--width must be at most 8,192, not 1000000000"),
        (("--layers", "0"), "--layers must be positive, not 0"),
        (("--methods", "hra-linear:99999999999"), "at most 8,192"),
        (("--methods", "residual-adapters:8192"), "too large to make"),
    ],
)
def test_sizes_that_cannot_be_are_refused(refused, options, found):
    line = refused("info", "--growth", *options)
    assert found in line


def test_growth_of_what_is_no_recogniser_is_refused(refused, tmp_path):
    assert str(tmp_path) in refused("info", tmp_path, "--growth")


def test_growth_keeps_the_order_of_the_methods():
    methods = [parse_method(text) for text in ("hra-ffn:4", "residual-adapters:2", "hra-linear:4")]
    assert list(growth_of_sizes(8, 2, methods).methods) == [method.label for method in methods]
    with refuses("--width must be positive, not -3"):
        growth_of_sizes(-3, 2, methods)
