"""Onboarding thousands of tasks on a frozen controller: shards of tasks, each trained by a job of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Optional

from rich.progress import Progress, TaskID

from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import read_controller, write_controller
from hra_cli.adapter.head_folder import list_heads
from hra_cli.adapter.head_start import read_start
from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError
from hra_cli.experiment.config import CONFIG_NAME, TASKS_PER_JOB, TrainConfig, differences, load_config, save_config
from hra_cli.io.cluster import outcome
from hra_cli.io.documents import read_json
from hra_cli.io.files import remove_leftovers, replacing, write_text
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import no_progress
from hra_cli.training.task_shard import Onboarded, ShardResult, read_shard, train_shard
from hra_cli.training.train_heads import adapter_to_train

SHARDS_NAME = "shards"  # the folder of the shards' experiments
PLAN_NAME = "shards.json"
SUMMARY_NAME = "onboarded.tsv"
FAILED_NAME = "failed.tsv"
_COLUMNS = ("task", "utterances", "dev_words", "wer_before", "wer_after", "epoch")


@dataclass(frozen=True)
class OnboardResult:
    """onboarded: the tasks that have their head, sorted by name. failed: why the others have none, by task. new: how
    many heads this run has trained."""

    onboarded: list[Onboarded] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    new: int = 0


def onboard(
    config: TrainConfig,
    exp_dir: Path,
    executor: Executor,
    tasks_per_job: int = TASKS_PER_JOB,
    progress: Optional[Progress] = None,
) -> OnboardResult:
    """Trains a head for every task of `config` that has none in `exp_dir`, each shard of tasks by a job of `executor`.

    Which tasks share a shard is decided once, so that heads are the same whatever was interrupted; tasks that are new
    since then get shards of their own. Batches mix the tasks of a shard: ONBOARD_MAX_DURATION suits them. What is
    finished is never trained again. The folder is one that `hra decode --exp-dir` takes. A shard that fails costs the
    others nothing, and is tried again next time.
    Raises HraError for a config without a controller, and for a folder begun with other options.
    """
    if config.controller is None:
        raise HraError("onboarding needs the controller that heads are for; give --controller")
    if tasks_per_job < 1:
        raise HraError(f"--tasks-per-job {tasks_per_job} must be 1 or more")
    with one_writer(exp_dir):
        shards = _planned(config, exp_dir, tasks_per_job)
        before = _finished(shards)
        broken: dict[Path, str] = {}
        try:
            broken = _train(config, shards, before, executor, progress or no_progress())
        finally:  # what is finished is there, also when interrupted
            result = _collected(exp_dir, shards, broken)
    return dataclasses.replace(result, new=len(result.onboarded) - sum(len(one.onboarded) for one in before.values()))


def _planned(config: TrainConfig, exp_dir: Path, tasks_per_job: int) -> dict[Path, list[str]]:
    """The tasks of every shard, by its folder; what is new is planned and written down."""
    controller, fingerprint = _checked(config)
    wanted = load_tasks(Path(config.data)).select(list(config.tasks) or None)
    config = dataclasses.replace(config, tasks=())  # more may be asked for next time
    plan: list[list[str]] = []
    if (exp_dir / CONFIG_NAME).exists():
        changed = differences(load_config(exp_dir), config)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); go on with its own")
        plan = read_json(exp_dir / PLAN_NAME, list[list[str]], "onboard into a new folder")
    known = {task for shard in plan for task in shard}
    new = [task for task in wanted if task not in known]
    plan += [new[begin : begin + tasks_per_job] for begin in range(0, len(new), tasks_per_job)]
    for folder in (exp_dir, exp_dir / "heads"):
        remove_leftovers(folder)
    write_text(exp_dir / PLAN_NAME, json.dumps(plan, ensure_ascii=False) + "\n")
    write_controller(exp_dir / "controller.safetensors", controller, fingerprint)
    save_config(config, exp_dir)
    return {exp_dir / SHARDS_NAME / f"{number:05d}": tasks for number, tasks in enumerate(plan)}


def _checked(config: TrainConfig) -> tuple[Controller, str]:
    """The controller, and the fingerprint of the recogniser that it is for. Raises HraError for what would make every
    shard fail."""
    assert config.controller is not None
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = load_tokenizer(located(config.backbone))
    controller = read_controller(Path(config.controller), backbone.fingerprint)
    if config.start is not None:
        belongs_to = (backbone.fingerprint, backbone.width, tokenizer.fingerprint)
        adapter_to_train(
            config, [], backbone.width, controller, read_start(Path(config.start), controller, *belongs_to)
        )
    return controller, backbone.fingerprint


def _finished(shards: Iterable[Path]) -> dict[Path, ShardResult]:
    found = ((folder, read_shard(folder)) for folder in shards)
    return {folder: result for folder, result in found if result is not None}


def _train(
    config: TrainConfig,
    shards: dict[Path, list[str]],
    finished: Collection[Path],
    executor: Executor,
    progress: Progress,
) -> dict[Path, str]:
    """Trains the shards that are not finished. Returns those that failed, and why."""
    bar = progress.add_task("onboarding", total=sum(map(len, shards.values())), note="")
    jobs: dict[Future[None], Path] = {}
    for folder, tasks in shards.items():
        if folder in finished:
            progress.advance(bar, len(tasks))
            continue
        job = executor.submit(train_shard, dataclasses.replace(config, tasks=tuple(tasks)), folder)
        job.add_done_callback(partial(_advance, progress, bar, len(tasks)))
        jobs[job] = folder
    broken: dict[Path, str] = {}
    for job in as_completed(jobs):
        try:
            outcome(job, f"shard {jobs[job].name} failed")
        except HraError as error:
            broken[jobs[job]] = str(error)
    return broken


def _advance(progress: Progress, bar: TaskID, tasks: int, job: Future[None]) -> None:
    progress.advance(bar, tasks)


def _collected(exp_dir: Path, shards: dict[Path, list[str]], broken: dict[Path, str]) -> OnboardResult:
    """Puts the heads of all finished shards into one folder, and writes the tables."""
    onboarded: list[Onboarded] = []
    failed: dict[str, str] = {}
    heads = exp_dir / "heads"
    there = list_heads(heads)
    for folder, why in broken.items():
        failed.update(dict.fromkeys(shards[folder], why))
    for folder, result in _finished(shards).items():
        onboarded += result.onboarded
        failed.update(result.failed)
        for one in result.onboarded:
            if one.task not in there:
                heads.mkdir(exist_ok=True)
                with replacing(heads / f"{one.task}.safetensors") as temporary:
                    shutil.copyfile(folder / "heads" / f"{one.task}.safetensors", temporary)
    onboarded.sort(key=lambda one: one.task)
    failed = dict(sorted(failed.items()))
    _write_table(exp_dir / SUMMARY_NAME, _COLUMNS, [[_cell(value) for value in _values(one)] for one in onboarded])
    _write_table(exp_dir / FAILED_NAME, ("task", "reason"), [list(one) for one in failed.items()])
    return OnboardResult(onboarded, failed)


def _values(one: Onboarded) -> tuple[object, ...]:
    return one.task, one.utterances, one.words, one.wer_before, one.wer_after, one.epoch


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _write_table(file: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    write_text(file, "".join("\t".join(row) + "\n" for row in [columns, *rows]))
