"""`hra compare`: what it trains, what it writes, and how it goes on after an interruption."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders import refused as refuses
from data_folders import change_tasks, write_split
from speech import BACKBONE, TASKS, hra

from hra_cli.backbone.model import load_backbone
from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import Method, parse_method
from hra_cli.comparison import cell as one_cell
from hra_cli.comparison import workers
from hra_cli.comparison.cell import train_cell
from hra_cli.comparison.plan import Cell, CellConfig, CompareConfig
from hra_cli.comparison.run import _Comparison, compare
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import INTERRUPTED, HraError
from hra_cli.experiment.config import load_config_as
from hra_cli.io.cluster import OneByOne
from hra_cli.io.files import write_text
from hra_cli.io.progress import no_progress
from hra_cli.io.tensors import read_safetensors
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.results import read_recogs
from hra_cli.scoring.wer import count_errors
from hra_cli.training.step import TrainingStep

METHODS = ("hra-linear:8", "lora:2")
KEPT = {"train": 6, "dev": 2, "test": 4}  # utterances of each task
ROWS = [(method, mode) for method in ("hra-linear", "lora") for mode in ("single", "multi")]
SETTINGS = {"lrs": (0.004,), "num_epochs": 2, "max_duration": 8.0, "rnnt_type": "modified"}
# One thread, so that several tests at a time do not get into each other's way.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
HRA_HEAD, HRA_CONTROLLER = 160 * 8 + 160, 160 * 8 + 2 * 8


@pytest.fixture(scope="module")
def little(data, tmp_path_factory) -> Path:
    """A few utterances of `data`."""
    folder = tmp_path_factory.mktemp("little") / "data"
    shutil.copytree(data, folder)
    for split, count in KEPT.items():
        for task in TASKS:
            write_split(folder, task, split, list(load_tasks(folder).cuts(task, split))[:count])
    return folder


def options(data, methods=METHODS, exp_dir="exp"):
    """The command line, for the folder in which `exp_dir` is to be: the same there is the same everywhere."""
    return [
        "compare", "--backbone", BACKBONE, "--data", data, "--exp-dir", exp_dir, "--methods", ",".join(methods),
        "--lrs", "0.004", "--num-epochs", "2", "--max-duration", "8", "--rnnt-type", "modified",
    ]  # fmt: skip


def config(data, **changes) -> CompareConfig:
    """What `options` say."""
    return CompareConfig(**{"backbone": str(BACKBONE), "data": str(data), "methods": METHODS, **SETTINGS, **changes})


@pytest.fixture(scope="module")
def comparison(little, tmp_path_factory) -> Path:
    """A finished comparison; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("comparison")
    done = hra(*options(little), cwd=folder, env=ENVIRONMENT)
    (folder / "printed.txt").write_text(done.stdout)
    return folder / "exp"


@pytest.fixture
def copied(comparison, tmp_path) -> Path:
    """The same, for tests that change it."""
    return shutil.copytree(comparison, tmp_path / "exp")


def read(exp_dir):
    return json.loads((exp_dir / "comparison.json").read_text())


def trained(exp_dir):
    """When each cell's files of training were written, and their bytes."""
    files = [*exp_dir.rglob("result.json"), *exp_dir.rglob("model.safetensors")]
    return {file.relative_to(exp_dir): (file.stat().st_mtime_ns, file.read_bytes()) for file in sorted(files)}


def test_comparison_json_holds_everything_of_every_method(comparison, little):
    found = read(comparison)
    assert list(found) == [
        "format", "format_version", "hra_version", "command", "config", "machine", "backbone", "data", "tasks", "test",
        "frozen", "cells", "over_seeds", "growth",
    ]  # fmt: skip
    assert (found["format"], found["format_version"]) == ("hra-comparison", 1)
    assert found["command"].startswith("hra compare --backbone ")
    assert found["config"] == json.loads(json.dumps(dataclasses.asdict(config(little))))
    assert found["backbone"] == {
        "path": str(BACKBONE), "fingerprint": load_backbone(BACKBONE).fingerprint, "parameters": 3_233_129
    }  # fmt: skip
    assert found["tasks"] == list(TASKS)
    assert found["test"] == {"utterances": 8, "words": found["frozen"]["words"], "decoding_method": "greedy_search"}
    assert set(found["frozen"]) == {"wer", "errors", "words", "low", "high", "tasks"}
    assert [(cell["method"], cell["mode"]) for cell in found["cells"]] == ROWS
    for cell in found["cells"]:
        assert set(cell) == {
            "method", "label", "size", "mode", "seed", "lr", "lrs", "parameters_per_task", "parameters_shared",
            "parameters_in_all", "trainable", "wer", "low", "high", "errors", "words", "tasks", "dev", "seconds",
            "steps", "epochs", "peak_memory_mib", "folder",
        }  # fmt: skip
        assert (cell["seed"], cell["lr"], cell["epochs"]) == (42, 0.004, 2)
        assert cell["seconds"] > 0
        assert cell["steps"] > 2
        assert cell["peak_memory_mib"] > 100
        dev = {key: cell["lrs"][0][key] for key in ("lr", "dev_errors")}
        assert dev == {"lr": 0.004, "dev_errors": cell["dev"]["errors"]}
        assert cell["dev"]["wer"] == pytest.approx(100 * cell["dev"]["errors"] / cell["dev"]["words"], abs=0.01)
        assert (comparison / cell["folder"]).is_dir()
    assert set(found["growth"]) == {"tasks", "methods"}
    assert set(found["growth"]["methods"]) == {"HRA linear, H=8", "LoRA, r=2"}
    assert "Infinity" not in (comparison / "comparison.json").read_text()


def test_intervals_contain_the_wer_and_the_scores_are_those_of_the_hypotheses(comparison):
    found = read(comparison)
    for folder, scores in [("frozen", found["frozen"]), *((cell["folder"], cell) for cell in found["cells"])]:
        utterances = read_recogs(comparison / folder / "recogs-test-greedy_search.txt")
        assert len(utterances) == 8
        assert scores["errors"] == sum(count_errors(one.ref, one.hyp).errors for one in utterances)
        assert scores["errors"] == sum(task["errors"] for task in scores["tasks"].values())
        assert scores["words"] == sum(task["words"] for task in scores["tasks"].values())
        assert scores["wer"] == pytest.approx(100 * scores["errors"] / scores["words"], abs=0.01)
        assert 0 <= scores["low"] <= scores["wer"] <= scores["high"]
        assert scores["low"] < scores["high"]


def test_methods_are_held_against_the_first_one_on_the_same_utterances(comparison):
    found = read(comparison)
    wer = {(cell["label"], cell["mode"]): cell["wer"] for cell in found["cells"]}
    assert [(row["label"], row["mode"]) for row in found["over_seeds"]] == list(wer)
    for row in found["over_seeds"]:
        label, mode = row["label"], row["mode"]
        assert row["wer"] == row["lowest"] == row["highest"] == wer[label, mode]
        if label == "HRA linear, H=8":
            assert "difference" not in row
        else:
            assert row["difference"] == pytest.approx(wer[label, mode] - wer["HRA linear, H=8", mode], abs=0.011)
            assert row["low"] <= row["difference"] <= row["high"]


def test_what_is_shared_is_counted_once_and_single_task_models_share_nothing(comparison):
    counts = {
        (cell["method"], cell["mode"]): [cell[f"parameters_{part}"] for part in ("per_task", "shared", "in_all")]
        for cell in read(comparison)["cells"]
    }
    alone = HRA_HEAD + HRA_CONTROLLER
    assert counts["hra-linear", "multi"] == [HRA_HEAD, HRA_CONTROLLER, 2 * HRA_HEAD + HRA_CONTROLLER]
    assert counts["hra-linear", "single"] == [alone, 0, 2 * alone]
    assert counts["lora", "multi"] == counts["lora", "single"]
    for cell in read(comparison)["cells"]:
        assert cell["trainable"] == cell["parameters_in_all"]
        growth = read(comparison)["growth"]
        assert growth["methods"][cell["label"]][0] == sum(
            counts[cell["method"], "single"][:2]  # with one task there is no difference
        )


def test_the_models_kept_are_those_that_were_tested(comparison, little):
    """Every task's utterances, decoded with what is on disk, by the single-task and by the multi-task models."""
    backbone, tokenizer = load_backbone(BACKBONE), load_tokenizer(BACKBONE)
    for cell in read(comparison)["cells"]:
        folder = comparison / cell["folder"]
        kept = {one.id: one.hyp for one in read_recogs(folder / "recogs-test-greedy_search.txt")}
        decoded = {}
        for task in TASKS:
            single = cell["mode"] == "single"
            own, adapter = new_method(
                Method(cell["method"], cell["size"]), backbone, [task] if single else TASKS, seed=7
            )
            file = (folder / "models" / task if single else folder) / "model.safetensors"
            adapter.load_state_dict(read_safetensors(file)[0])
            for batch in Recogniser(own, tokenizer, adapter).decode(load_tasks(little).cuts(task, "test")):
                decoded.update({one.id: one.hyp for one in batch})
        assert decoded == kept


def test_the_table_has_a_row_for_every_cell_and_there_is_a_report(comparison):
    found = read(comparison)
    table = (comparison / "comparison.md").read_text()
    assert "8 utterances" in table
    assert "2 epochs" in table
    table, over_seeds = table.split("Means over the seeds")
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines() if "|" in line][2:]
    assert [row[:2] for row in rows] == [["frozen", ""], *([cell["label"], cell["mode"]] for cell in found["cells"])]
    columns = next(line for line in table.splitlines() if line.startswith("| method")).strip("|").split("|")
    wer, in_all = [column.strip() for column in columns].index("WER %"), [c.strip() for c in columns].index("in all")
    for row, cell in zip(rows[1:], found["cells"]):
        assert row[wer] == f"{cell['wer']:.1f}"
        assert row[in_all] == f"{cell['parameters_in_all']:,}"
    printed = (comparison.parent / "printed.txt").read_text()
    for cell in found["cells"]:
        line, of_seeds = [one for one in printed.splitlines() if cell["label"] in one and cell["mode"] in one]
        assert f"{cell['parameters_in_all']:,}" in line
        assert f"{cell['low']:.1f} – {cell['high']:.1f}" in line
        assert f"{cell['wer']:.1f} – {cell['wer']:.1f}" in of_seeds, "there is one seed"
        assert f"| {cell['label']} | {cell['mode']} | 1 |" in over_seeds
    report = (comparison / "report.html").read_text()
    assert all(cell["label"] in report for cell in found["cells"])
    assert not list(comparison.rglob("checkpoints")), "finished cells keep no checkpoints"


def test_a_finished_comparison_run_again_trains_nothing_and_says_the_same(copied, little):
    before, files = trained(copied), ["comparison.json", "comparison.md", "report.html"]
    contents = [(copied / name).read_bytes() for name in files]
    for name in files:
        (copied / name).unlink()
    hra(*options(little), cwd=copied.parent, env=ENVIRONMENT)
    assert trained(copied) == before
    assert [(copied / name).read_bytes() for name in files] == contents


# Interruptions


def cell_processes(parent: int) -> list[int]:
    """Processes started by `parent` that train a cell."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_child = folder.name.isdigit() and status(int(folder.name))[1] == parent
            if is_child and b"hra_cli.commands.train_cell" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def status(process: int) -> tuple[str, int]:
    """The state letter and the parent of a process."""
    state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_running(process: int) -> bool:
    try:
        return status(process)[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def started(data, exp_dir):
    """A running `hra compare` and the process of its cell."""
    command = [sys.executable, "-m", "hra_cli", *map(str, options(data))]
    process = subprocess.Popen(
        command,
        cwd=exp_dir.parent,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: cell_processes(process.pid) or process.poll() is not None, 300, "a cell is started")
        (cell,) = cell_processes(process.pid)
        yield process, cell
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def without_measurements(found):
    for cell in found["cells"]:
        assert cell.pop("seconds") > 0
        assert cell.pop("peak_memory_mib") > 100
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_while_a_cell_trains_and_run_again_gives_the_same(comparison, copied, little, number):
    cell = next(copied / one["folder"] for one in read(copied)["cells"] if one["folder"].startswith("cells/lora-2-sin"))
    for gone in (cell, copied / "comparison.json", copied / "comparison.md", copied / "report.html"):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    before = trained(copied)
    log = cell / "models" / "fr" / "train.log"  # of the cell's second model
    with started(little, copied) as (process, training):
        wait_until(lambda: log.is_file() and "epoch 1:" in log.read_text(), 300, "the first epoch is trained")
        os.kill(training, signal.SIGSTOP)  # so that it does not end by itself before it notices
        if number == signal.SIGKILL:
            process.kill()  # the parent alone
        else:
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        time.sleep(1.0)
        os.kill(training, signal.SIGCONT)
        error = process.communicate(timeout=120)[1]
        assert "Traceback" not in error
        assert process.returncode == (-number if number == signal.SIGKILL else 130)
        wait_until(lambda: not is_running(training), 10.0, "the cell ends with its parent")
    assert not (cell / "result.json").exists(), "interrupted too late to show anything"
    assert not (copied / "comparison.json").exists()

    hra(*options(little), cwd=copied.parent, env=ENVIRONMENT)
    assert without_measurements(read(copied)) == without_measurements(read(comparison))
    assert "resuming at step" in log.read_text()
    assert {name: kept for name, kept in trained(copied).items() if name in before} == before
    for task in TASKS:
        model = Path(*cell.parts[-2:], "models", task, "model.safetensors")
        assert (copied / model).read_bytes() == (comparison / model).read_bytes()


def test_a_cell_that_was_interrupted_interrupts_the_comparison(tmp_path, monkeypatch):
    """Ctrl-C in a terminal reaches cells as well, and they may end before the comparison has noticed."""
    command = [sys.executable, "-c", f"raise SystemExit({INTERRUPTED})"]
    monkeypatch.setattr(workers, "_start", lambda folder, threads: subprocess.Popen(command))
    with pytest.raises(KeyboardInterrupt):
        workers.train_cells([tmp_path], 1, 1, "cells", no_progress())


def test_cells_trained_on_a_cluster_are_the_same(copied, little, comparison):
    pytest.importorskip("distributed")
    cells = list((copied / "cells").glob("*-multi-*"))
    assert len(cells) == 2
    for gone in (*cells, copied / "comparison.json", copied / "comparison.md", copied / "report.html"):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    compare(config(little), copied, cluster="local:2")
    assert [cell["wer"] for cell in read(copied)["cells"]] == [cell["wer"] for cell in read(comparison)["cells"]]
    assert trained(copied).keys() == trained(comparison).keys()


def test_a_cell_that_fails_on_a_cluster_is_said_after_the_others(tmp_path, monkeypatch):
    done = []

    def train(folder):
        if folder.name == "bad":
            raise HraError("its data are gone")
        if folder.name == "worse":
            raise MemoryError
        done.append(folder.name)

    monkeypatch.setattr(workers, "train_cell", train)
    with refuses("its data are gone"):
        workers.train_on_cluster([tmp_path / "bad", tmp_path / "good"], OneByOne(), "cells", no_progress())
    assert done == ["good"]
    with refuses(r"training worse failed \(MemoryError"):
        workers.train_on_cluster([tmp_path / "worse"], OneByOne(), "cells", no_progress())


def test_killed_while_a_cell_only_starts_leaves_nothing_running(copied, little):
    cell = copied / read(copied)["cells"][0]["folder"]
    shutil.rmtree(cell)
    with started(little, copied) as (process, starting):
        process.kill()
        wait_until(lambda: not is_running(starting), 300, "the cell ends after its parent")
    assert not list(cell.rglob("train.log"))


# Learning rates


def result(errors, loss):
    """A result.json of a multi-task cell, as far as choosing a learning rate goes."""
    dev = {"insertions": 0, "deletions": 0, "substitutions": errors, "words": 100}
    return {
        "models": [
            {
                "tasks": list(TASKS), "parameters_per_task": 1, "parameters_shared": 1, "trainable": 1, "epochs": 1,
                "selected_epoch": 1, "steps": 1, "seconds": 1.0, "dev": {"fr": dev}, "dev_errors": errors,
                "dev_loss": loss, "peak_memory_mib": 1.0,
            }
        ],
        "peak_memory_mib": 1.0,
    }  # fmt: skip


def single(*errors_and_losses):
    """The same of single-task models, one for each of TASKS."""
    models = [result(*both)["models"][0] for both in errors_and_losses]
    for task, model in zip(TASKS, models):
        model["tasks"] = [task]
    return {"models": models, "peak_memory_mib": 1.0}


def best_of(little, folder, results, mode="multi"):
    """The learning rate that is chosen, of those with these results."""
    settings = config(little, methods=("hra-linear",), lrs=tuple(results))
    chooser = _Comparison(settings, folder)
    grid = settings.grid(parse_method("hra-linear"), mode)
    for cell in grid:
        write_text(chooser.folder(cell) / "result.json", json.dumps(results[cell.lr]))
    return chooser.best(grid).lr


@pytest.mark.parametrize(
    ("results", "chosen"),
    [
        # 16 errors are 4 more than the fewest, 12, of which 3.5 are chance.
        ({0.002: result(16, 1.0), 0.004: result(12, 90.0), 0.008: result(15, 10.0)}, 0.008),
        ({0.002: result(3, 10.0), 0.004: result(3, 9.0), 0.008: result(5, 1.0)}, 0.004),
        ({0.002: result(1, 10.0), 0.004: result(0, 90.0)}, 0.004),
        ({0.002: result(3, 10.0), 0.004: {"diverged": "the loss is nan at step 3"}}, 0.002),
        ({0.002: {"diverged": "the loss is nan at step 3"}, 0.004: result(30, 10.0)}, 0.004),
        # Of single-task models all count.
        ({0.1: single((0, 1.0), (19, 1.0)), 0.2: single((4, 50.0), (4, 49.0))}, 0.2),
    ],
)
def test_of_learning_rates_as_good_as_the_best_that_with_the_lowest_loss_is_chosen(little, tmp_path, results, chosen):
    mode = "multi" if len(next(iter(results.values())).get("models", "1")) == 1 else "single"
    assert best_of(little, tmp_path, results, mode) == chosen


def test_without_words_on_dev_no_learning_rate_is_chosen(little, tmp_path):
    silent = result(0, 1.0)
    silent["models"][0]["dev"]["fr"]["words"] = 0
    assert best_of(little, tmp_path / "one", {0.002: silent}) == 0.002, "there is nothing to choose"
    with refuses("no words on dev in .* learning rates 0.002, 0.004; give one with --lrs"):
        best_of(little, tmp_path / "two", {0.002: silent, 0.004: silent})


def test_a_method_that_diverges_with_every_learning_rate_is_an_error(little, tmp_path):
    diverged = {"diverged": "the loss is nan at step 3, on cuts a, b"}
    with refuses(r"HRA linear.*multi.*the loss is nan at step 3|hra-linear:64, multi: the loss is nan at step 3"):
        best_of(little, tmp_path, {0.5: diverged, 1.0: diverged})


def test_a_cell_that_diverges_says_so_in_its_result(little, tmp_path):
    folder = a_cell(little, tmp_path, lr=1e30, num_epochs=5)
    train_cell(folder)
    found = json.loads((folder / "result.json").read_text())
    assert list(found) == ["diverged"]
    assert "at step" in found["diverged"]


# Going on with more, or with something else


def test_methods_learning_rates_and_seeds_can_be_added(copied, little, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = trained(copied)
    frozen = (copied / "frozen" / "test.json").stat().st_mtime_ns
    more = config(little, methods=("residual-adapters:2",), modes=("multi",), lrs=(0.004, 0.1), seeds=(42, 43))
    found = compare(more, copied, num_jobs=2)
    found = found.as_json()
    first, second = found["cells"]
    assert (first["label"], first["seed"], second["seed"]) == ("residual adapters, r=2", 42, 43)
    tried = {one["lr"]: (one["dev_errors"], one["dev_loss"]) for one in first["lrs"]}
    assert set(tried) == {0.004, 0.1}
    assert tried[0.004] != tried[0.1]
    assert first["lr"] == second["lr"] == min(tried, key=lambda lr: tried[lr])
    after = trained(copied)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 6  # three new cells, with a model each
    assert (copied / "frozen" / "test.json").stat().st_mtime_ns == frozen
    models = [read_safetensors(copied / cell["folder"] / "model.safetensors")[0] for cell in (first, second)]
    assert any(not torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())
    (over_seeds,) = found["over_seeds"]
    wers = sorted([first["wer"], second["wer"]])
    assert over_seeds["seeds"] == 2
    assert [over_seeds["lowest"], over_seeds["highest"]] == wers
    assert over_seeds["wer"] == pytest.approx(sum(wers) / 2, abs=0.01)


def test_methods_may_have_learning_rates_of_their_own(little):
    settings = config(little, methods=("hra-linear:8@0.002/0.01", "lora:1", "lora:1@0.1", "full"), lrs=(0.004,))
    tried = {str(method): settings.lrs_of(method) for method in settings.parsed_methods()}
    assert tried == {"hra-linear:8": [0.002, 0.01], "lora:1": [0.1], "full": [0.004]}


def test_what_is_named_twice_is_there_once(copied, little):
    before = trained(copied)
    twice = config(little, methods=("hra-linear:8",) * 2, modes=("multi",) * 2, lrs=(0.004, 0.004), seeds=(42, 42))
    assert [cell.name for cell in twice.grid(*twice.rows()[0])] == ["hra-linear-8-multi-lr0.004-seed42"]
    (cell,) = compare(twice, copied).cells
    assert [one.lr for one in cell.lrs] == [0.004]
    assert trained(copied) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--num-epochs", "3"), "--num-epochs 2 → 3"),
        (("--max-duration", "9"), "--max-duration 8.0 → 9.0"),
        (("--no-spec-augment",), "--spec-augment True → False"),
        (("--task", "fr"), "--task not given → fr"),
        (("--decoding-method", "modified_beam_search"), "--decoding-method greedy_search → modified_beam_search"),
        (("--budget-seconds", "5"), "--budget-seconds not given → 5.0"),
    ],
)
def test_other_options_need_another_folder(refused, copied, little, changed, message):
    before = (copied / "comparison.json").read_bytes()
    given = options(little, exp_dir=copied)
    if "--budget-seconds" in changed:
        given = [one for one in given if one not in ("--num-epochs", "2")]
    line = refused(*given, *changed)
    assert message in line
    assert "compare in a new folder" in line
    assert (copied / "comparison.json").read_bytes() == before


# Budgets


def a_cell(little, tmp_path, lr=0.004, **changes):
    """The folder of a multi-task cell that is ready to be trained."""
    settings = config(little, methods=("hra-linear:8",), lrs=(lr,), **changes)
    return _Comparison(settings, tmp_path).write_models(Cell(Method("hra-linear", 8), "multi", lr, 42))


def epochs_trained(folder):
    train_cell(folder)
    (model,) = json.loads((folder / "result.json").read_text())["models"]
    assert load_config_as(CellConfig, folder).num_epochs == model["epochs"]
    return model["epochs"]


def test_a_budget_is_one_epoch_at_least_and_stays_as_it_was_measured(little, tmp_path):
    folder = a_cell(little, tmp_path, budget_seconds=0.001)
    assert epochs_trained(folder) == 1
    model = (folder / "model.safetensors").read_bytes()
    (folder / "result.json").unlink()
    a_cell(little, tmp_path, budget_seconds=6.0)  # as if the machine had become faster
    assert epochs_trained(folder) == 1
    assert (folder / "model.safetensors").read_bytes() == model


def test_a_budget_becomes_as_many_epochs_as_fit(little, tmp_path, monkeypatch):
    measured = []

    def seconds_per_epoch(config, at_most):
        assert at_most == 1.8
        measured.append(really(config, at_most))
        return 10.0

    really = one_cell.seconds_per_epoch
    monkeypatch.setattr(one_cell, "seconds_per_epoch", seconds_per_epoch)
    assert epochs_trained(a_cell(little, tmp_path, budget_seconds=18.0, num_epochs=20)) == 2
    assert measured[0] > 0.01


@pytest.mark.parametrize(("at_most", "timed"), [(1000.0, "an epoch"), (0.0, "four steps")])
def test_what_an_epoch_takes_is_measured_on_a_whole_one_where_time_allows(
    little, tmp_path, monkeypatch, at_most, timed
):
    folder = a_cell(little, tmp_path, max_duration=2.0)
    (model,) = json.loads((folder / "models.json").read_text())
    config = CellConfig(**{**model["config"], "tasks": tuple(model["config"]["tasks"])})
    train_cuts = one_cell.cell_loop(config, tmp_path / "timed").data.train
    steps_per_epoch = len(training_batches(train_cuts, 2.0, config.seed, 0))
    assert steps_per_epoch > 4
    steps, call = [], TrainingStep.__call__
    monkeypatch.setattr(TrainingStep, "__call__", lambda *arguments: steps.append(0) or call(*arguments))
    one_cell.seconds_per_epoch(config, at_most)
    assert len(steps) == 1 + (steps_per_epoch if timed == "an epoch" else 4)


# Mistakes


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (("--methods", "hra-liner:8,lora"), "no such method: 'hra-liner'; did you mean 'hra-linear'?"),
        (("--methods", "lora:none"), "the size of lora is a positive whole number"),
        (("--methods", ","), "--methods names none"),
        (("--modes", "mulit"), "no such mode: 'mulit'; did you mean 'multi'?"),
        (("--lrs", "0.004,fast"), "--lrs is a list of numbers with commas between, not '0.004,fast'"),
        (("--lrs", "0"), "--lrs must be positive"),
        (("--methods", "lora:1@fast"), "'lora:1@fast': learning rates are numbers with / between, as in"),
        (("--methods", "lora:1@0.1/0"), "--methods must be positive, not 0"),
        (("--seeds", "4.5"), "--seeds is a list of whole numbers with commas between, not '4.5'"),
        (("--num-jobs", "0"), "--num-jobs must be positive, not 0"),
        (("--num-epochs", "0"), "--num-epochs must be positive"),
        (("--max-duration", "-1"), "--max-duration must be positive"),
        (("--methods", "lora:99999999999"), "the size of lora is a positive whole number, at most 8,192"),
        (("--lrs", "0.004,nan"), "--lrs must be positive, not nan"),
        (("--lrs", "1e39"), "--lrs must be at most"),
        (("--seeds", "1,99999999999999999999"), "--seeds must be at most 4,294,967,295"),
        (("--seeds", "-1"), "--seeds must be 0 or more"),
        (("--num-jobs", "1000000000"), "--num-jobs must be at most 1,024"),
        (("--rnnt-type", "modifed"), "did you mean 'modified'?"),
        (("--decoding-method", "greedy"), "greedy_search"),
        (("--task", "frr"), "did you mean 'fr'?"),
        (("--chunk-size", "16"), "--chunk-size is for causal"),
        (("--backbone", "nowhere"), "nowhere"),
        (("--data", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(refused, little, tmp_path, mistake, message):
    assert message in refused(*options(little, exp_dir=tmp_path / "exp"), *mistake)
    assert not (tmp_path / "exp").exists(), "the same folder with the mistake mended would be refused"


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_task_without_one_of_the_splits_is_refused_before_anything_is_trained(refused, little, tmp_path, split):
    lacking = shutil.copytree(little, tmp_path / "data")
    change_tasks(lacking, lambda content: content["tasks"]["fr"].pop(split))
    assert f"task 'fr' has no {split} split" in refused(*options(lacking, exp_dir=tmp_path / "exp"))
    assert not (tmp_path / "exp").exists()


def test_a_cell_that_fails_says_why_in_one_line(refused, little, tmp_path):
    damaged = shutil.copytree(little, tmp_path / "data")
    for task in TASKS:
        cuts = list(load_tasks(damaged).cuts(task, "train"))
        for cut in cuts:
            cut.features.storage_path = cut.features.storage_path.replace("feats-", "lost-")
        write_split(damaged, task, "train", cuts)
    line = refused(*options(damaged, ["hra-linear:8"], tmp_path / "exp"), "--modes", "multi")
    assert "-train-" in line
    assert "lost-" in line or "cannot" in line
    assert not list(tmp_path.rglob("result.json"))
