"""The part `onboard` of scale.py: heads for many tasks on a frozen controller, by more and more workers."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scale_work import RNNT_TYPE, Work, bytes_in, hra

from hra_cli.errors import MISTAKE

PEAK = re.compile(r"peak memory (\d+) MiB")


def onboard(work: Work, tasks: int, tasks_per_job: int, workers: Sequence[int], epochs: int) -> dict[str, Any]:
    """All tasks by `--cluster local:N`, for each number of workers from the beginning; then the same command again,
    which finds everything done: what it takes to start and to read what is there."""
    index, joint = work.tasks(tasks), work.joint
    given = ["--backbone", work.backbone, "--data", index.data_dir, "--controller", joint / "controller.safetensors"]
    given += ["--start", "common", "--num-epochs", epochs, "--rnnt-type", RNNT_TYPE, "--tasks-per-job", tasks_per_job]
    found = []
    for count in workers:
        exp_dir = work.folder / f"onboard-{count}"
        shutil.rmtree(exp_dir, ignore_errors=True)
        command = ["onboard", *given, "--exp-dir", exp_dir, "--cluster", f"local:{count}"]
        cost = hra(*command, may_fail=[MISTAKE])  # of which some tasks had nothing to train on
        again = hra(*command, may_fail=[MISTAKE])
        found.append(
            {
                "workers": count,
                "seconds": cost.seconds,
                "seconds_a_task": cost.seconds / tasks,
                "peak_mb_of_a_process": cost.peak_mb,
                "peak_mib_of_a_worker": peak_of_workers(exp_dir),
                "seconds_again": again.seconds,
                **outcome(exp_dir),
                "heads_bytes": bytes_in(exp_dir / "heads"),
                "shards_bytes": bytes_in(exp_dir / "shards"),
                "files": sum(file.is_file() for file in exp_dir.rglob("*")),
            }
        )
    train = [split["train"] for split in index.tasks.values()]
    return {
        "tasks": tasks,
        "utterances_a_task": sum(one.utterances for one in train) / len(train),
        "seconds_of_speech_a_task": sum(one.seconds for one in train) / len(train),
        "tasks_per_job": tasks_per_job,
        "epochs": epochs,
        "prepared_bytes": {
            "tasks.json": (index.data_dir / "tasks.json").stat().st_size,
            "cuts": bytes_in(index.data_dir / "cuts"),
            "feats": bytes_in(index.data_dir / "feats"),
        },
        "runs": found,
        "heads_that_differ": differing([work.folder / f"onboard-{count}" for count in workers]),
    }


def outcome(exp_dir: Path) -> dict[str, Any]:
    """How many tasks have their head, and WER on dev before and after, over the words of all tasks that have dev."""
    rows, failed = table(exp_dir / "onboarded.tsv"), table(exp_dir / "failed.tsv")
    scored = [row for row in rows if int(row["dev_words"])]
    words = sum(int(row["dev_words"]) for row in scored)
    wers = {
        name: sum(int(row["dev_words"]) * float(row[name]) for row in scored) / max(words, 1)
        for name in ("wer_before", "wer_after")
    }
    return {"onboarded": len(rows), "failed": len(failed), "dev_words": words, **wers}


def table(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def peak_of_workers(exp_dir: Path) -> int:
    """Of the worker with the most memory, as the logs of the shards have it."""
    logs = sorted(exp_dir.glob("shards/*/train.log"))
    return max((int(peak) for log in logs for peak in PEAK.findall(log.read_text())), default=0)


def differing(exp_dirs: Sequence[Path]) -> int:
    """How many tasks' heads are not the same in all folders, byte for byte; docs/cluster.md says none."""
    names = {file.name for exp_dir in exp_dirs for file in (exp_dir / "heads").iterdir()}
    return sum(len({content(exp_dir / "heads" / name) for exp_dir in exp_dirs}) > 1 for name in names)


def content(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
