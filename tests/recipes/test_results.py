"""RESULTS.md of a run: made of what the run has measured, and of nothing else."""

import json
import re
from dataclasses import replace

import pytest
from builders import BACKBONE, heads_of, random_adapter

from hra_cli.adapter.head_file import write_controller, write_head
from hra_cli.experiment.config import TrainConfig, save_config


def decoded(folder, **tasks):
    """A decoding's scores: errors and words of every task."""

    def counts(errors, words):
        return {"errors": errors, "words": words, "wer": round(100 * errors / words, 2)}

    total = [sum(numbers) for numbers in zip(*tasks.values())]
    folder.mkdir(parents=True)
    content = {"total": counts(*total), "tasks": {task: counts(*numbers) for task, numbers in tasks.items()}}
    (folder / "wer.json").write_text(json.dumps(content))


def compared(folder, figure):
    folder.mkdir(parents=True)
    content = {"command": f"hra compare --budget-seconds {figure}", "machine": {"cpu threads": figure}}
    (folder / "comparison.json").write_text(json.dumps(content))
    (folder / "comparison.md").write_text(f"| method | WER % |\n|---|---:|\n| LoRA | {figure} |\n")


def write_tables(clone, recipe, exp, *options):
    """What run.sh writes at its end, without a stage before it."""
    done = clone.run(recipe, "--stage", "99", "--stop-stage", "99", "--exp", exp, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_per_decoding_and_a_column_per_task(clone, tmp_path):
    exp = tmp_path / "exp"
    decoded(exp / "frozen", ann=(7, 1200), bob=(500, 1000))
    decoded(exp / "joint-2" / "greedy_search", ann=(3, 1200), bob=(20, 1000))
    decoded(exp / "joint-1" / "greedy_search", ann=(6, 1200), bob=(10, 1000))
    decoded(exp / "exported", bob=(30, 1000))
    write_tables(clone, "fsdd", exp)
    first, _, command, *rest = (exp / "RESULTS.md").read_text().splitlines()
    assert first == "# FSDD: a head per speaker"
    assert re.fullmatch(rf"`\S+/run.sh --stage 99 .*{exp}`; hra \S+, torch \S+, Python \S+, \d+ CPU threads\.", command)
    assert rest == [
        "",
        "## WER in per cent",
        "",
        "|  | ann | bob | all |",
        "|---|---:|---:|---:|",
        "| words | 1,200 | 1,000 | 2,200 |",
        "| frozen | 0.58 | 50.00 | 23.05 |",
        "| joint-1/greedy_search | 0.50 | 1.00 | 0.73 |",
        "| joint-2/greedy_search | 0.25 | 2.00 | 1.05 |",
        "| exported |  | 3.00 |  |",
    ]


def test_decodings_of_other_tasks_have_a_table_of_their_own_and_a_recipes_own_table_follows(clone, tmp_path):
    exp = tmp_path / "exp"
    decoded(exp / "frozen-everyone", all=(60, 100))
    decoded(exp / "everyone-1", all=(20, 100))
    decoded(exp / "frozen-bands", children=(50, 60), adults=(10, 40))
    decoded(exp / "bands-1", children=(10, 60), adults=(5, 40))
    (exp / "folds").mkdir()
    (exp / "folds" / "table.md").write_text("| method |\n|---|\n| LoRA |\n")
    write_tables(clone, "speechocean762", exp)
    assert (exp / "RESULTS.md").read_text().splitlines()[4:] == [
        "## WER in per cent",
        "",
        "|  | all | all |",
        "|---|---:|---:|",
        "| words | 100 | 100 |",
        "| frozen-everyone | 60.00 | 60.00 |",
        "| everyone-1 | 20.00 | 20.00 |",
        "",
        "|  | adults | children | all |",
        "|---|---:|---:|---:|",
        "| words | 40 | 60 | 100 |",
        "| frozen-bands | 25.00 | 83.33 | 60.00 |",
        "| bands-1 | 12.50 | 16.67 | 15.00 |",
        "",
        "## folds",
        "",
        "| method |",
        "|---|",
        "| LoRA |",
    ]


def test_every_run_into_the_folder_is_named(clone, tmp_path):
    exp = tmp_path / "exp"
    decoded(exp / "frozen", ann=(7, 1200))
    write_tables(clone, "fsdd", exp)
    write_tables(clone, "fsdd", exp, "--seeds", "7")
    command = (exp / "RESULTS.md").read_text().splitlines()[2]
    assert re.match(rf"`\S+ --stage 99 [^`]*{exp}`, then `\S+ --stage 99 [^`]*{exp} --seeds 7`; hra ", command)


@pytest.mark.parametrize(
    ("recipe", "heads", "comparison"),
    [("accents", "hra/decode", "compare"), ("fsdd", "joint-x/greedy_search", "compare-x")],
)
def test_two_runs_share_no_figure(clone, tmp_path, recipe, heads, comparison):
    found = []
    for exp, ann, bob, figure in ((tmp_path / "one", 97, 113, 1234.5), (tmp_path / "other", 101, 127, 678.9)):
        decoded(exp / "frozen", ann=(70, ann), bob=(80, bob))
        decoded(exp / heads, ann=(20, ann), bob=(30, bob))
        compared(exp / comparison, figure)
        write_tables(clone, recipe, exp)
        # All but the line with the command and the versions.
        tables = "\n".join((exp / "RESULTS.md").read_text().splitlines()[4:])
        found.append(re.findall(r"\d[\d.,]*\d|\d", tables))
    assert len(found[0]) == len(found[1]) == 3 + 2 * 3 + 3
    assert not set(found[0]) & set(found[1])


def test_default_folders_and_any_other_leave_git_status_clean(clone, tmp_path):
    for recipe in ("accents", "fsdd"):
        exp = clone.directory / "recipes" / recipe / "exp"
        decoded(exp / "frozen", ann=(1, 2))
        assert f"tables: {clone.directory}/recipes/{recipe}/exp/RESULTS.md" in write_tables(clone, recipe, "exp")
        assert (exp / "RESULTS.md").is_file()
        assert list((exp / "log").glob("run.*.log"))

        decoded(tmp_path / recipe / "frozen", ann=(1, 2))
        write_tables(clone, recipe, tmp_path / recipe, "--results", tmp_path / f"{recipe}.md")
        assert (tmp_path / f"{recipe}.md").is_file()
        assert not (tmp_path / recipe / "RESULTS.md").exists()
    assert clone.status() == ""


def test_a_run_that_has_measured_nothing_writes_no_tables(clone, tmp_path):
    write_tables(clone, "accents", tmp_path / "exp")
    assert not (tmp_path / "exp" / "RESULTS.md").exists()


def test_a_head_for_tasks_that_have_none_is_not_counted(clone, tmp_path):
    folder = tmp_path / "exp" / "joint-1"
    adapter = random_adapter(["ann", "bob", "common"], 40)
    for head in heads_of(adapter, bundled=False):
        training = {"common": True} if head.task == "common" else {}
        write_head(folder / "heads" / f"{head.task}.safetensors", replace(head, training=training))
    write_controller(folder / "controller.safetensors", adapter.controller, BACKBONE)
    save_config(TrainConfig("backbone", "data", max_duration=100.0, seed=7), folder)
    write_tables(clone, "fsdd", tmp_path / "exp")
    assert (
        "| joint-1 | 2 | 520 | 504 | linear | 64 | 20 | 100.0 | 0.008 | 7 |"
        in (tmp_path / "exp" / "RESULTS.md").read_text()
    )
