"""`hra compare --modes onboard`: who learns from whom, from how much, and what is written about it."""

import dataclasses
import json
import os
import shutil
from itertools import chain
from pathlib import Path

import pytest
import torch
from builders import refused as refuses
from data_folders import write_split
from speech import TASKS, hra, write_recogniser

from hra_cli.comparison.cell import cell_loop, train_cell
from hra_cli.comparison.cell_files import read_models, read_result
from hra_cli.comparison.onboard_options import OnboardOptions
from hra_cli.comparison.onboard_plan import base_cell, folds_of
from hra_cli.comparison.onboard_table import onboarding_markdown
from hra_cli.comparison.plan import CompareConfig
from hra_cli.comparison.run import _Comparison, _keep_config
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.config import load_config_as
from hra_cli.io.files import write_text
from hra_cli.io.progress import no_progress
from hra_cli.io.tensors import read_safetensors
from hra_cli.training.step import TrainingStep
from hra_cli.training.training_data import few_shots, load_training_data

VOICES = ("de", "de-too", "fr")
METHODS = ("hra-linear:8", "full")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
KEPT = {"train": 5, "dev": 2, "test": 3}


def recogniser_of(data: Path) -> Path:
    return data.parent / "recogniser"


@pytest.fixture(scope="module")
def voices(data, tmp_path_factory) -> Path:
    """A few utterances of `data`; some of de are of a third task, which has only three to train on. With a recogniser
    for them, small since there is full fine-tuning."""
    folder = tmp_path_factory.mktemp("voices") / "data"
    shutil.copytree(data, folder)
    write_recogniser(recogniser_of(folder))
    index = load_tasks(folder)
    index.tasks["de-too"] = {
        split: dataclasses.replace(entry, cuts=entry.cuts.replace("de", "de-too", 1))
        for split, entry in index.tasks["de"].items()
    }
    for entry in index.tasks["de-too"].values():
        (folder / entry.cuts).parent.mkdir(exist_ok=True)
    index.save()
    for split, number in KEPT.items():
        cuts = {task: list(load_tasks(data).cuts(task, split)) for task in TASKS}
        others = cuts["de"][number : number + min(number, 3)]
        for cut in others:
            cut.custom["task"] = "de-too"
        write_split(folder, "de-too", split, others)
        for task in TASKS:
            write_split(folder, task, split, cuts[task][:number])
    return folder


def config(data, shots=(0, 5), methods=METHODS, **changes) -> CompareConfig:
    settings = {"lrs": (0.004,), "num_epochs": 2, "max_duration": 8.0, "rnnt_type": "modified", **changes}
    options = OnboardOptions(shots=shots, folds=2, onboard_epochs=2)
    settings = {"modes": ("onboard",), "onboarding": options, **settings}
    return CompareConfig(str(recogniser_of(data)), str(data), methods=methods, **settings)


def train_here(folders, what):
    """In this process, which starts much sooner than others would."""
    for folder in folders:
        train_cell(folder)


def onboarded(settings, folder):
    """What `compare` does, and what it finds; the progress of one command is left out."""
    comparison = _Comparison(settings, folder)
    comparison.check([])
    return comparison.scored([], comparison.onboard.train(train_here), "hra compare", 1, no_progress())


@pytest.fixture(scope="module")
def run(voices, tmp_path_factory):
    """The folder of a comparison, and what was found; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("onboard") / "exp"
    return folder, onboarded(config(voices), folder)


def cells_of(folder, part):
    return sorted(cell for cell in (folder / "cells").iterdir() if part in cell.name)


def tensors(folder):
    return read_safetensors(folder / "model.safetensors")[0]


# Who learns from whom


def test_nothing_that_a_held_out_task_starts_from_has_seen_it(run):
    folder, found = run
    assert sorted(chain(*found.onboarding.folds)) == sorted(VOICES)
    assert sorted(map(len, found.onboarding.folds)) == [1, 2]
    for cell in cells_of(folder, "-base-"):
        for number, (held_out, model) in enumerate(zip(found.onboarding.folds, read_models(cell)), start=1):
            others = [task for task in VOICES if task not in held_out]
            assert list(load_config_as(type(model.config), cell / f"fold{number}").tasks) == others
            assert read_result(cell).models[number - 1].tasks == others
    for cell in cells_of(folder, "onboard"):
        for model in read_models(cell):
            fold = Path(model.folder).parts[0]
            assert set(model.config.tasks) <= set(found.onboarding.folds[int(fold[4:]) - 1])
            if model.config.base is not None:
                kind = model.config.method.replace(":", "-")
                assert model.config.base == f"{kind}-base-lr0.004-seed42/{fold}"


def test_hra_keeps_the_controller_of_the_others_and_starts_from_their_common_head(run):
    folder, _ = run
    (base,) = cells_of(folder, "hra-linear-8-base")
    (begin,), (common,), (zero,) = (
        cells_of(folder, f"hra-linear-8-onboard-{start}") for start in ("begin", "common", "zero")
    )
    for fold in ("fold1", "fold2"):
        learned = tensors(base / fold)
        began, trained = tensors(begin / fold / "shots0"), tensors(common / fold / "shots5")
        from_zero = tensors(zero / fold / "shots5")
        for name, tensor in learned.items():
            if name.startswith("controller."):
                for own in (began, trained, from_zero):
                    assert torch.equal(own[name], tensor), "the controller is frozen"
            elif name.startswith("bank."):
                common_head = learned[name.replace("bank.", "common.")][0]
                assert common_head.any()
                assert all(torch.equal(head, common_head) for head in began[name])
                assert not torch.equal(trained[name][0], began[name][0])
                assert not torch.equal(trained[name], from_zero[name])


def test_tasks_whose_average_is_taken_begin_at_the_same_random_numbers(voices, tmp_path):
    """Or else their average would mean nothing."""
    comparison = _Comparison(config(voices, shots=(0,), methods=("lora:2",), num_epochs=1), tmp_path)
    comparison.check([])
    plan, (row,) = comparison.onboard.plan, comparison.onboard.rows
    assert row.start == "common", "from zero there is only the frozen model"
    base = base_cell(row.method, 0.004, 42)
    model = next(one for one in plan.base_models(base) if len(one.config.tasks) == 2)
    loop = cell_loop(model.config, tmp_path)
    starts = {name: tensor for name, tensor in loop.adapter.state_dict().items() if name.endswith(".a")}
    assert starts
    for first, second in starts.values():
        assert torch.equal(first, second)
        assert first.any()


def test_full_fine_tuning_has_a_model_for_each_task(run):
    folder, _ = run
    for cell in cells_of(folder, "full-onboard"):
        assert all(len(model.config.tasks) == 1 for model in read_models(cell) if model.config.shots)
    (base,), (begin,) = cells_of(folder, "full-base"), cells_of(folder, "full-onboard-begin")
    learned, began = tensors(base / "fold1"), tensors(begin / "fold1" / "shots0")
    assert all(torch.equal(tensor, learned[name]) for name, tensor in began.items())


def test_groups_of_tasks_are_held_out_in_turn_the_same_every_time():
    tasks = [f"task{number}" for number in range(10)]
    folds = folds_of(tasks, OnboardOptions())
    assert [len(fold) for fold in folds] == [3, 3, 2, 2]
    assert sorted(chain(*folds)) == sorted(tasks)
    assert folds_of(tasks[::-1], OnboardOptions()) == folds
    assert len(folds_of(tasks, OnboardOptions(folds=10))) == 10
    assert folds_of(tasks, OnboardOptions(held_out=("task7", "task2", "task7"))) == [["task2", "task7"]]


# From how much


def test_fewer_utterances_are_among_more_and_no_dev_is_looked_at_while_training(voices, run):
    settings = next(model.config for model in read_models(cells_of(run[0], "hra-linear-8-onboard-zero")[0]))
    settings = dataclasses.replace(settings, tasks=VOICES)
    recogniser = _Comparison(config(voices), run[0]).frozen
    everything = load_training_data(settings, recogniser.backbone, recogniser.tokenizer)
    ids = {}
    for number in (1, 2, 3):
        few = few_shots(everything, number, seed=1)
        ids[number] = {cut.id for cut in few.train}
        assert few.utterances == dict.fromkeys(VOICES, number)
        assert [cut.custom["task"] for cut in few.train] == [task for task in VOICES for _ in range(number)]
        assert len(few.dev) == 0
        assert few.seconds["fr"] == pytest.approx(sum(c.duration for c in few.train if c.custom["task"] == "fr"))
    assert ids[1] < ids[2] < ids[3]
    alone = load_training_data(dataclasses.replace(settings, tasks=("fr",)), recogniser.backbone, recogniser.tokenizer)
    assert {cut.id for cut in few_shots(alone, 2, seed=1).train} < ids[2], "whatever the other tasks are"
    assert any(few_shots(alone, 2, seed=seed).digest != few_shots(alone, 2, seed=1).digest for seed in range(2, 6))
    with refuses("task 'de-too' has 3 utterances to train on, not 4"):
        few_shots(everything, 4, seed=1)
    logs = [log for log in run[0].rglob("train.log") if "shots5" in str(log)]
    assert logs
    for log in logs:
        assert "there are no utterances on dev" in log.read_text()


def test_a_task_with_too_few_utterances_is_left_out_of_that_point_and_named(run):
    _, found = run
    onboarding = found.onboarding
    for row in onboarding.rows:
        assert [point.shots for point in row.points] == [0, 5]
        assert [sorted(point.tasks) for point in row.points] == [sorted(VOICES), ["de", "fr"]]
    assert "Without 1 of the held-out tasks at 5, which have fewer utterances to train on: de-too (3)." in (
        onboarding_markdown(onboarding)
    )


def test_more_utterances_than_any_task_has_are_refused_and_others_are_not(voices, tmp_path):
    with refuses("--shots 50 is more than the 5 utterances that a held-out task has"):
        _Comparison(config(voices, shots=(50,)), tmp_path).check([])
    comparison = _Comparison(config(voices, shots=(0, 2, 50)), tmp_path)
    comparison.check([])
    assert comparison.onboard.points == [0, 2]


# What comes of it


def test_without_utterances_zero_is_the_frozen_model_exactly(run):
    _, found = run
    for row in found.onboarding.rows:
        if row.start == "zero":
            assert row.points[0].tasks == found.frozen.tasks
            assert row.points[0].wer == pytest.approx(found.frozen.wer, abs=0.01)


def test_every_row_says_what_it_is_and_how_far_from_the_first(run):
    _, found = run
    rows = found.onboarding.rows
    assert [(row.method, row.start) for row in rows] == [
        (name.partition(":")[0], start) for name in METHODS for start in ("common", "zero")
    ]
    width = 40
    head, controller = width * 8 + width, width * 8 + 2 * 8
    assert [(rows[0].parameters_per_task, rows[0].parameters_shared)] == [(head, controller)]
    assert (rows[-1].parameters_per_task, rows[-1].parameters_shared) == (found.backbone.parameters, 0)
    for row in rows:
        assert (row.seeds, row.lr, len(row.lrs)) == (1, 0.004, 1)
        learns_from_others = row.start == "common" or row.method == "hra-linear"
        assert (row.base_lr, len(row.base_lrs)) == ((0.004, 1) if learns_from_others else (None, 0))
        for point, first in zip(row.points, rows[0].points):
            assert point.low <= point.wer <= point.high
            errors = sum(one.errors for one in point.tasks.values())
            words = sum(one.words for one in point.tasks.values())
            assert point.wer == pytest.approx(100 * errors / words, abs=0.01)
            if row is rows[0]:
                assert point.difference is None
            else:
                assert point.difference == pytest.approx(point.wer - first.wer, abs=0.011)
                assert point.difference_low <= point.difference <= point.difference_high


def test_rates_are_chosen_on_dev_that_of_others_first_and_over_all_folds(voices, tmp_path):
    """Results by hand: at one rate a fold is very good, at the other all are better together; but what others have in
    common is best at the one."""
    settings = config(voices, methods=("lora:2",), lrs=(0.1, 0.2), seeds=(1, 2))
    comparison = _Comparison(settings, tmp_path)
    comparison.check([])
    trained = []

    def by_hand(folders, what):
        for folder in folders:
            trained.append(folder.name)
            models = []
            for number, model in enumerate(read_models(folder)):
                errors = [0, 30][number > 0] if "lr0.1" in folder.name else 12
                if "-begin-" in folder.name:
                    errors = 1 if "lr0.1" in folder.name else 40
                dev = {task: {"insertions": 0, "deletions": 0, "substitutions": errors, "words": 100}
                       for task in model.config.tasks}  # fmt: skip
                models.append(
                    {
                        "tasks": list(model.config.tasks), "parameters_per_task": 1, "parameters_shared": 0,
                        "trainable": 1, "epochs": 1, "selected_epoch": 1, "steps": 1, "seconds": 1.0, "dev": dev,
                        "dev_errors": errors, "dev_loss": 1.0, "peak_memory_mib": 1.0,
                    }
                )  # fmt: skip
            write_text(folder / "result.json", json.dumps({"models": models, "peak_memory_mib": 1.0}))

    chosen = comparison.onboard.train(by_hand)
    assert {row.start: [(cell.lr, cell.seed) for cell in cells] for row, cells in chosen.items()} == {
        "common": [(0.2, 1), (0.2, 2)],
        "zero": [(0.2, 1), (0.2, 2)],
    }
    first = [name for name in dict.fromkeys(trained) if "seed1" in name]
    assert len(first) == 8  # what is common, what it is for others, and both starts, at both rates
    assert {name for name in trained if "seed2" in name} == {
        f"lora-2-{mode}-seed2"
        for mode in (
            "base-lr0.1", "onboard-begin-lr0.1", "onboard-common-lr0.2-base0.1", "onboard-zero-lr0.2",
        )
    }  # fmt: skip


def test_a_base_that_diverged_is_named(voices, tmp_path):
    settings = config(voices, shots=(2,), methods=("hra-linear:8",), lrs=(1e30,))
    comparison = _Comparison(settings, tmp_path)
    comparison.check([])
    with refuses("hra-linear:8, onboard-begin: trained on the other tasks, the .* at step"):
        comparison.onboard.train(train_here)


def test_a_rate_with_which_others_diverge_is_no_choice(voices, tmp_path):
    settings = config(voices, shots=(0,), methods=("hra-linear:8",), lrs=(1e30, 0.004), num_epochs=1)
    (row,) = onboarded(settings, tmp_path).onboarding.rows
    assert (row.base_lr, [one.lr for one in row.base_lrs]) == (0.004, [0.004])
    assert row.parameters_per_task > 0


# Interruptions


def test_interrupted_and_run_again_gives_the_same_bytes(run, tmp_path, monkeypatch):
    folder, _ = run
    (whole,) = cells_of(folder, "hra-linear-8-onboard-common")
    shutil.copytree(cells_of(folder, "hra-linear-8-base")[0], tmp_path / cells_of(folder, "hra-linear-8-base")[0].name)
    cell = tmp_path / whole.name
    cell.mkdir()
    shutil.copy(whole / "models.json", cell)
    call, steps = TrainingStep.__call__, []

    def killed(*arguments):
        steps.append(0)
        if len(steps) == 4:
            raise SystemExit("killed")
        return call(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingStep, "__call__", killed)
        with pytest.raises(SystemExit):
            train_cell(cell)
    assert list(cell.rglob("checkpoints"))
    assert not (cell / "result.json").exists()
    train_cell(cell)
    assert "resuming at step" in "".join(log.read_text() for log in cell.rglob("train.log"))
    models = sorted(file.relative_to(whole) for file in whole.rglob("model.safetensors"))
    assert len(models) == 2  # both folds
    for model in models:
        assert (cell / model).read_bytes() == (whole / model).read_bytes()
    assert [one.dev for one in read_result(cell).models] == [one.dev for one in read_result(whole).models]


# The command


def options(data, exp_dir, *more):
    return [
        "compare", "--backbone", recogniser_of(data), "--data", data, "--exp-dir", exp_dir, "--methods", "lora:2",
        "--lrs", "0.004", "--num-epochs", "1", "--max-duration", "8", "--rnnt-type", "modified", *more,
    ]  # fmt: skip


ONBOARD = ("--modes", "onboard", "--held-out", "fr", "--shots", "2,0,2", "--onboard-epochs", "1")


def test_the_command_shows_the_curves_and_a_second_run_says_the_same(voices, tmp_path):
    exp_dir = tmp_path / "exp"
    printed = hra(*options(voices, exp_dir, *ONBOARD), env=ENVIRONMENT).stdout
    found = json.loads((exp_dir / "comparison.json").read_text())
    assert found["cells"] == found["over_seeds"] == []
    onboarding = found["onboarding"]
    assert onboarding["folds"] == [["fr"]]
    assert [row["start"] for row in onboarding["rows"]] == ["common", "zero"]
    page, table = (exp_dir / "report.html").read_text(), (exp_dir / "comparison.md").read_text()
    for row in onboarding["rows"]:
        for point in row["points"]:
            shown = f"{point['wer']:.1f} ({point['low']:.1f} – {point['high']:.1f})"
            assert shown in printed
            assert shown in table
            assert shown.replace(" – ", "–") in page
    assert '<section id="onboarding">' in page
    assert page.index("</svg>", page.index('<section id="onboarding">')) < page.index("</section>")

    files = ["comparison.json", "comparison.md", "report.html"]
    before = [(exp_dir / name).read_bytes() for name in files]
    models = {file: file.stat().st_mtime_ns for file in exp_dir.rglob("model.safetensors")}
    assert len(models) == 1 + 2 + 1  # of the others; common at 0 and 2; zero at 2
    hra(*options(voices, exp_dir, *ONBOARD), env=ENVIRONMENT)
    assert [(exp_dir / name).read_bytes() for name in files] == before
    assert {file: file.stat().st_mtime_ns for file in exp_dir.rglob("model.safetensors")} == models


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (("--shots", "5"), "--shots has no effect without --modes onboard; leave it out"),
        (("--folds", "2"), "--folds has no effect without --modes onboard; leave it out"),
        (("--held-out", "fr"), "--held-out has no effect without --modes onboard; leave it out"),
        (("--onboard-epochs", "5"), "--onboard-epochs has no effect without --modes onboard; leave it out"),
        (("--modes", "onbord"), "no such mode: 'onbord'; did you mean 'onboard'?"),
        (("--modes", "onboard", "--shots", "5,few"), "--shots is a list of whole numbers"),
        (("--modes", "onboard", "--shots", ","), "--shots names none"),
        (("--modes", "onboard", "--shots", "-1"), "--shots must be 0 or more"),
        (("--modes", "onboard", "--shots", "0,99999999999"), "--shots must be at most 1,000,000"),
        (("--modes", "onboard", "--folds", "99999999999"), "--folds must be at most 1,000,000"),
        (("--modes", "onboard", "--onboard-epochs", "99999999999"), "--onboard-epochs must be at most 10,000,000,000"),
        (("--modes", "onboard", "--folds", "1"), "--folds must be 2 or more"),
        (("--modes", "onboard", "--folds", "-3"), "--folds must be positive"),
        (("--modes", "onboard", "--folds", "4"), "--folds must be at most 3, the number of tasks, not 4"),
        (("--modes", "onboard", "--folds", "2", "--held-out", "fr"), "--folds has no effect with --held-out"),
        (("--modes", "onboard", "--held-out", "frr"), "--held-out frr is none of the tasks"),
        (("--modes", "onboard", "--onboard-epochs", "0"), "--onboard-epochs must be positive"),
        (("--modes", "onboard", "--task", "fr"), "learns from other tasks than it holds out, and there is only 'fr'"),
        (("--modes", "onboard", *(f"--held-out={task}" for task in VOICES)), "none is left to learn from"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing_behind(refused, voices, tmp_path, mistake, message):
    assert message in refused(*options(voices, tmp_path / "exp", *mistake))
    assert not (tmp_path / "exp").exists()


def test_onboarding_is_added_to_a_comparison_and_its_options_are_kept(tmp_path):
    plain = CompareConfig("b", "d")
    _keep_config(plain, tmp_path)
    more = dataclasses.replace(plain, modes=("multi", "onboard"), onboarding=OnboardOptions(shots=(0, 3)))
    _keep_config(more, tmp_path)
    _keep_config(plain, tmp_path)  # without it for once
    _keep_config(more, tmp_path)
    for changed, shown in (
        ({"shots": (0, 4)}, "--shots 0,3 → 0,4"),
        ({"shots": (0, 3), "held_out": ("x",)}, "--held-out not given → x"),
        ({"shots": (0, 3), "onboard_epochs": 7}, "--onboard-epochs 20 → 7"),
    ):
        with refuses("begun with other options", shown, "compare in a new folder"):
            _keep_config(dataclasses.replace(more, onboarding=OnboardOptions(**changed)), tmp_path)
