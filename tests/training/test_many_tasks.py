"""Onboarding many tasks in shards: here, on a cluster, interrupted, with tasks that cannot be trained."""

import dataclasses
import json
import shutil
import threading
import time

import pytest
from builders import refused
from dask_workers import dask_workers
from data_folders import change_tasks
from speech import BACKBONE, TASKS, config, hra

from hra_cli.adapter.head_file import read_head
from hra_cli.experiment.config import load_config
from hra_cli.io.cluster import OneByOne, cluster_executor
from hra_cli.training.many_tasks import onboard
from hra_cli.training.task_shard import RESULT_NAME
from hra_cli.training.train_heads import train

COMMON = "heads/common.safetensors"


def onboarding(data, experiment, **changes):
    """A run of a few seconds, on the controller of `experiment`."""
    shared = {"controller": str(experiment / "controller.safetensors"), "start": str(experiment / COMMON)}
    return config(data, num_epochs=1, **shared, **changes)


@pytest.fixture(scope="module")
def onboarded(data, experiment, tmp_path_factory):
    """A finished folder of a shard for each of the two tasks; tests leave it as it is."""
    exp_dir = tmp_path_factory.mktemp("onboarded") / "exp"
    onboard(onboarding(data, experiment), exp_dir, OneByOne(), tasks_per_job=1)
    return exp_dir


def heads_in(exp_dir):
    return {file.stem: file.read_bytes() for file in (exp_dir / "heads").iterdir()}


def test_heads_are_those_of_a_training_of_their_shard(data, experiment, onboarded, tmp_path):
    assert set(heads_in(onboarded)) == set(TASKS)
    train(onboarding(data, experiment, tasks=("de",)), tmp_path / "alone")
    assert heads_in(onboarded)["de"] == heads_in(tmp_path / "alone")["de"]
    lines = (onboarded / "onboarded.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["task", "utterances", "dev_words"]
    assert [line.split("\t")[:2] for line in lines[1:]] == [[task, "24"] for task in TASKS]
    assert (onboarded / "failed.tsv").read_text() == "task\treason\n"


def test_the_folder_decodes_as_that_of_a_training(data, onboarded):
    done = hra("decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", onboarded)
    assert all(task in done.stdout for task in TASKS)
    assert load_config(onboarded).tasks == ()


def test_what_is_finished_is_not_trained_again_and_new_tasks_are(data, experiment, onboarded, tmp_path):
    exp_dir, settings = tmp_path / "exp", onboarding(data, experiment)
    first = onboard(dataclasses.replace(settings, tasks=("fr",)), exp_dir, OneByOne(), tasks_per_job=1)
    assert ([one.task for one in first.onboarded], first.new) == (["fr"], 1)
    log = (exp_dir / "shards" / "00000" / "train.log").read_text()
    both = onboard(settings, exp_dir, OneByOne(), tasks_per_job=1)
    assert ([one.task for one in both.onboarded], both.new) == (["de", "fr"], 1)
    assert (exp_dir / "shards" / "00000" / "train.log").read_text() == log
    assert heads_in(exp_dir) == heads_in(onboarded)
    assert onboard(settings, exp_dir, OneByOne(), tasks_per_job=1).new == 0


def test_a_worker_that_is_killed_costs_nothing(data, experiment, onboarded, tmp_path):
    pytest.importorskip("psutil")
    exp_dir = tmp_path / "exp"
    killed = []

    def kill_at_the_first_checkpoint():
        while not list(exp_dir.glob("shards/*/checkpoints/last.safetensors")):
            time.sleep(0.01)
        for process in dask_workers():
            process.kill()
            killed.append(process.pid)

    with cluster_executor("local:1") as executor:
        killer = threading.Thread(target=kill_at_the_first_checkpoint)
        killer.start()
        result = onboard(onboarding(data, experiment), exp_dir, executor, tasks_per_job=1)
        killer.join()
    assert killed
    assert not result.failed
    assert heads_in(exp_dir) == heads_in(onboarded)
    for name in ("onboarded.tsv", "failed.tsv", "controller.safetensors"):
        assert (exp_dir / name).read_bytes() == (onboarded / name).read_bytes()


def test_a_task_that_cannot_be_trained_costs_the_others_nothing(data, experiment, onboarded, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    change_tasks(tmp_path / "data", lambda content: content["tasks"]["fr"].pop("train"))
    options = ["--backbone", BACKBONE, "--data", tmp_path / "data", "--exp-dir", tmp_path / "exp", "--start", "common"]
    options += ["--controller", experiment / "controller.safetensors", "--num-epochs", "1", "--max-duration", "20"]
    done = hra("onboard", *options, "--rnnt-type", "modified", "--seed", "1", check=False)
    assert done.returncode == 2
    assert "1 tasks have their head, 1 of them new" in done.stdout
    assert "task 'fr' has no utterance to train on" in " ".join(done.stdout.split())
    assert (tmp_path / "exp" / "failed.tsv").read_text().splitlines()[1].startswith("fr\ttask 'fr' has no utterance")
    assert heads_in(tmp_path / "exp") == {"de": heads_in(onboarded)["de"]}
    assert read_head(tmp_path / "exp" / "heads" / "de.safetensors").training["start"]
    # Also where it is alone in its shard.
    result = onboard(onboarding(tmp_path / "data", experiment), tmp_path / "alone", OneByOne(), tasks_per_job=1)
    assert set(result.failed) == {"fr"}
    assert heads_in(tmp_path / "alone") == heads_in(tmp_path / "exp")
    assert not onboard(onboarding(tmp_path / "data", experiment), tmp_path / "alone", OneByOne(), tasks_per_job=1).new


def test_a_shard_whose_data_are_damaged_fails_alone_and_is_tried_again(data, experiment, onboarded, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    settings = onboarding(tmp_path / "data", experiment)
    cuts = tmp_path / "data" / "cuts" / "de" / "train.jsonl.gz"
    whole = cuts.read_bytes()
    cuts.write_bytes(whole[: len(whole) // 2])
    result = onboard(settings, tmp_path / "exp", OneByOne(), tasks_per_job=1)
    assert set(result.failed) == {"de"}
    assert cuts.name in result.failed["de"]
    assert set(heads_in(tmp_path / "exp")) == {"fr"}
    cuts.write_bytes(whole)
    assert not onboard(settings, tmp_path / "exp", OneByOne(), tasks_per_job=1).failed
    assert set(heads_in(tmp_path / "exp")) == set(TASKS)


def test_what_cannot_be_onboarded(data, experiment, onboarded, tmp_path):
    settings = onboarding(data, experiment)
    with refused("needs the controller"):
        onboard(config(data), tmp_path / "exp", OneByOne())
    with refused("--tasks-per-job 0 must be 1 or more"):
        onboard(settings, tmp_path / "exp", OneByOne(), tasks_per_job=0)
    copied = shutil.copytree(onboarded, tmp_path / "copied")
    with refused("was begun with other options .*--seed"):
        onboard(onboarding(data, experiment, seed=2), copied, OneByOne())
    result = json.loads((copied / "shards" / "00000" / RESULT_NAME).read_text())
    assert result["onboarded"][0]["task"] == "de"


def test_heads_that_start_from_a_head_are_of_its_kind(data, experiment, tmp_path):
    options = ["--backbone", BACKBONE, "--data", data, "--exp-dir", tmp_path / "exp", "--start", "common"]
    options += ["--controller", experiment / "controller.safetensors"]
    done = hra("onboard", *options, "--head", "ffn", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "common.safetensors is a linear head" in done.stderr
    done = hra("onboard", *options, "--inner", "8", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--inner has no effect with --head linear" in done.stderr
