"""What `hra compare` finds in its folder: another comparison, damaged files, tasks named like its own files."""

import dataclasses
import json

import pytest
from builders import refused
from speech import BACKBONE

from hra_cli.baselines.methods import Method
from hra_cli.comparison.cell import train_cell
from hra_cli.comparison.cell_files import (
    CellResult,
    ModelResult,
    ModelToTrain,
    SplitScores,
    TaskScores,
    read_models,
    read_result,
    read_test,
    write_models,
    write_result,
    write_test,
)
from hra_cli.comparison.plan import Cell, CellConfig, CompareConfig, model_configs
from hra_cli.comparison.run import _keep_config, compare
from hra_cli.io.lock import one_writer
from hra_cli.scoring.wer import ErrorCounts

COUNTS = ErrorCounts(1, 2, 3, 60)
MODEL = ModelResult(["ä", "b"], 5, 7, 17, 2, 1, 30, 1.5, {"ä": COUNTS, "b": ErrorCounts()}, 6, 2.25, 300.0)
SCORES = SplitScores(10.0, 6, 60, 5.0, 15.5, {"ä": TaskScores(10.0, 6, 60), "b": TaskScores(None, 0, 0)})
CONFIG = CellConfig(backbone="/b", data="/d", tasks=("ä",), method="lora:8", budget_seconds=3.0, seed=7)


def test_what_is_written_is_read(tmp_path):
    for result in (CellResult([MODEL], 300.0), CellResult(diverged="the loss is nan")):
        write_result(tmp_path, result)
        assert read_result(tmp_path) == result
    models = [ModelToTrain("models/ä", CONFIG), ModelToTrain(".", CONFIG)]
    write_models(tmp_path, models)
    assert read_models(tmp_path) == models
    write_test(tmp_path, SCORES)
    assert read_test(tmp_path) == SCORES


RESULT = dataclasses.asdict(CellResult([MODEL], 300.0))
READERS = {"result.json": read_result, "models.json": read_models, "test.json": read_test}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", {}, "either models, or how they diverged"),
        ("result.json", [], "is damaged"),
        ("result.json", {"diverged": 3}, "diverged"),
        ("result.json", {**RESULT, "diverged": "too"}, "either models, or how they diverged"),
        ("result.json", {**RESULT, "models": [{**RESULT["models"][0], "steps": "30"}]}, "models.0.steps"),
        ("result.json", {**RESULT, "models": [{**RESULT["models"][0], "dev": {"ä": 3}}]}, "models.0.dev.ä"),
        ("result.json", {**RESULT, "models": [{**RESULT["models"][0], "dev_loss": float("nan")}]}, "dev_loss is nan"),
        ("models.json", [], "lists no model"),
        ("models.json", [{"folder": "../../x", "config": dataclasses.asdict(CONFIG)}], "../../x leads elsewhere"),
        ("models.json", [{"folder": "/x", "config": dataclasses.asdict(CONFIG)}], "/x leads elsewhere"),
        ("models.json", [{"folder": "x", "config": {"backbone": "/b"}}], "0.config.data"),
        ("test.json", {**dataclasses.asdict(SCORES), "words": -1}, "words is -1"),
        ("test.json", {**dataclasses.asdict(SCORES), "tasks": {"b": None}}, "tasks.b"),
    ],
)
def test_a_damaged_file_of_a_cell_is_one_line_that_names_it(tmp_path, name, content, said):
    (tmp_path / name).write_text(json.dumps(content))
    with refused("is damaged", tmp_path / name, said, "run `hra compare` again"):
        READERS[name](tmp_path)
    (tmp_path / name).write_text("{")
    with refused("is damaged", tmp_path / name):
        READERS[name](tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with refused("cannot read", tmp_path / name):
        READERS[name](tmp_path)


@pytest.mark.parametrize("content", ["", "[", "backbone: 3\ndata: x\n", "backbone: x\ndata: y\nseeds: [a]\n", "a: 1\n"])
def test_damaged_options_of_a_comparison_are_one_line(tmp_path, content):
    (tmp_path / "compare.yaml").write_text(content)
    with refused("compare.yaml is damaged", tmp_path, "compare in a new folder"):
        _keep_config(CompareConfig(backbone="b", data="d"), tmp_path)
    assert (tmp_path / "compare.yaml").read_text() == content


def test_options_are_kept_and_read_again(tmp_path):
    config = CompareConfig(backbone="b", data="d", tasks=("ä: b",), lrs=(0.1,), budget_seconds=5.0)
    _keep_config(config, tmp_path)
    before = (tmp_path / "compare.yaml").read_bytes()
    _keep_config(config, tmp_path)
    assert (tmp_path / "compare.yaml").read_bytes() == before
    with refused("--budget-seconds 5.0 → not given", "compare in a new folder"):
        _keep_config(dataclasses.replace(config, budget_seconds=None), tmp_path)


def test_comparing_beside_a_running_comparison_is_refused(tmp_path):
    config = CompareConfig(backbone=str(BACKBONE), data=str(tmp_path / "data"))
    with one_writer(tmp_path / "exp"), refused(r"process \d+ .* is writing", tmp_path / "exp"):
        compare(config, tmp_path / "exp")


def test_a_cell_that_another_process_has_finished_meanwhile_is_not_trained_again(tmp_path):
    write_result(tmp_path, CellResult([MODEL], 300.0))
    before = (tmp_path / "result.json").stat().st_mtime_ns
    train_cell(tmp_path)  # there is no models.json, so that it could not train
    assert (tmp_path / "result.json").stat().st_mtime_ns == before


def test_tasks_may_be_called_like_the_files_of_a_cell():
    tasks = ["result.json", "models.json", "test.json", "cell.log", "checkpoints", "models", "frozen"]
    config = CompareConfig(backbone="b", data="d")
    models = dict(model_configs(config, Cell(Method("hra-linear", 8), "single", 0.1, 1), tasks))
    assert [str(folder) for folder in models] == [f"models/{task}" for task in tasks]


def test_learning_rates_that_are_nearly_the_same_have_folders_of_their_own():
    names = {Cell(Method("hra-linear", 8), "multi", lr, 1).name for lr in (0.004, 0.0040000001, 1e-05, 1.00000001e-05)}
    assert len(names) == 4
    assert "hra-linear-8-multi-lr0.004-seed1" in names
    assert "hra-linear-8-multi-lr1e-05-seed1" in names


def test_a_folder_of_hra_train_is_left_to_it(tmp_path):
    (tmp_path / "config.yaml").touch()
    with refused("already holds an experiment of `hra train`; compare in a new folder"):
        _keep_config(CompareConfig(backbone="/b", data="/d"), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]
