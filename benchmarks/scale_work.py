"""What the parts of scale.py work on: a joint training, tasks dealt from speakers, and commands to time."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from hra_cli.data.task_index import TaskIndex, load_tasks

RNNT_TYPE = "modified"


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds by the clock, and the memory of its largest process at its peak; no less than what this
    process has, from which Linux counts on."""

    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Work:
    """Where the parts leave what others of them need. joint_speakers: on whom the controller is trained; tasks are made
    of the other speakers of `data`."""

    folder: Path
    backbone: Path
    data: Path
    joint_speakers: int
    joint_epochs: int

    @property
    def joint(self) -> Path:
        """The experiment that gives controller and common head, trained where it is not there yet."""
        index, exp_dir = load_tasks(self.data), self.folder / "joint"
        options = [option for speaker in self._speakers(index)[0] for option in ("--task", speaker)]
        options += ["--num-epochs", str(self.joint_epochs), "--max-duration", "15", "--rnnt-type", RNNT_TYPE]
        hra("train", "--backbone", self.backbone, "--data", self.data, "--exp-dir", exp_dir, *options, "--resume")
        return exp_dir

    def tasks(self, count: int) -> TaskIndex:
        """`count` tasks, prepared where they are not yet: see `dealt`."""
        folder, index = self.folder / f"data-{count}", load_tasks(self.data)
        speakers = self._speakers(index)[1]
        cuts = [cut for speaker in speakers for split in index.splits(speaker) for cut in index.cuts(speaker, split)]
        (self.folder / "cuts").mkdir(parents=True, exist_ok=True)
        file = self.folder / "cuts" / f"{count}.jsonl"  # not gzip, which would write the time too
        CutSet.from_cuts(dealt(cuts, count)).to_file(file)
        options = ["--task-by", "custom.task", "--split-by", "custom.split", "--backbone", self.backbone]
        hra("prepare", "cuts", file, *options, "--output-dir", folder, "--num-jobs", 2)
        return load_tasks(folder)

    def test_cuts(self) -> list[Cut]:
        """The test utterances of all speakers."""
        index = load_tasks(self.data)
        return [cut for speaker in index.with_split("test") for cut in index.cuts(speaker, "test")]

    def _speakers(self, index: TaskIndex) -> tuple[list[str], list[str]]:
        names = index.names
        if not 2 <= self.joint_speakers < len(names):
            sys.exit(f"--joint-speakers: from 2 to {len(names) - 1}, since {self.data} has {len(names)} speakers")
        return names[: self.joint_speakers], names[self.joint_speakers :]


def dealt(cuts: Iterable[Cut], count: int) -> list[Cut]:
    """The cuts of speakers (`custom["task"]`) as those of `count` tasks.

    A speaker's utterances are dealt to as many tasks as every other speaker's, or one fewer: the first utterance of
    each split to the first task and so on. Every utterance goes to one task. Exits where a task would have nothing to
    train on.
    """
    of_speaker: dict[str, list[Cut]] = {}
    for cut in cuts:
        of_speaker.setdefault(cut.custom["task"], []).append(cut)
    found = []
    for place, speaker in enumerate(sorted(of_speaker)):
        hands = len(range(place, count, len(of_speaker)))
        given = dict.fromkeys(("train", "dev", "test"), 0)
        for cut in sorted(of_speaker[speaker], key=lambda cut: cut.id):
            split = cut.custom["split"]
            if hands:
                found.append(of_task(cut, f"{speaker}-{given[split] % hands:03d}"))
            given[split] += 1
        if hands > given["train"]:
            sys.exit(
                f"{speaker} has {given['train']} utterances to train on for {hands} tasks; make more, or fewer tasks"
            )
    return found


def of_task(cut: Cut, task: str, id_: str | None = None) -> Cut:
    """The same utterance as one of `task`, by another id where one is given."""
    return fastcopy(cut, id=id_ or cut.id, custom={**(cut.custom or {}), "task": task})


def hra(*arguments: object, may_fail: Sequence[int] = ()) -> Cost:
    """Runs a command of hra, one thread a process. may_fail: exit codes beside 0 that are no surprise."""
    return timed([sys.executable, "-m", "hra_cli", *map(str, arguments)], may_fail)


def by_processes(count: int, script: Path, *arguments: object) -> Cost:
    """Runs a script as so many processes that find each other."""
    with socket.socket() as free:  # torchrun's own port is the same for all that run at a time
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        str(count),
        "--master_port",
        str(port),
    ]
    if _old_torch():
        command += ["-r", "9:1", "-t", "9:1"]  # see docs/cluster.md
    return timed([*command, str(script), *map(str, arguments)])


def timed(command: list[str], may_fail: Sequence[int] = ()) -> Cost:
    """What a command costs. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile() as said:
        begun = perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=said, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        # Of this process and those that it has waited for, where `resource` would count earlier commands too.
        _, status, used = os.wait4(process.pid, 0)
        seconds = perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, *may_fail):
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode(errors='replace')[-1000:]}")
    return Cost(seconds, used.ru_maxrss / 1000)


def bytes_in(folder: Path) -> int:
    """The sizes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def wanted(arguments: argparse.Namespace) -> Work:
    """What the command line says. Exits where the data are not there."""
    if not (arguments.data / "tasks.json").is_file():
        sys.exit(f"{arguments.data} is not there: run `recipes/voices/run.sh --stop-stage 1` first, or give --data")
    return Work(
        arguments.work.resolve(),
        arguments.backbone.resolve(),
        arguments.data.resolve(),
        arguments.joint_speakers,
        arguments.joint_epochs,
    )


def _old_torch() -> bool:
    import torch

    return torch.__version__.startswith("1.13") and sys.version_info >= (3, 11)
