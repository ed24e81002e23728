"""Running cells as processes, several at a time, or as jobs of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path

from rich.progress import Progress

from hra_cli.comparison.cell import train_cell
from hra_cli.comparison.cell_files import RESULT_NAME
from hra_cli.errors import INTERRUPTED, MISTAKE, HraError
from hra_cli.io.cluster import outcome
from hra_cli.io.files import writing

PROGRAM = "hra_cli.commands.train_cell"
LOG_NAME = "cell.log"
POLL_SECONDS = 0.2


def train_cells(folders: Sequence[Path], num_jobs: int, threads: int, description: str, progress: Progress) -> None:
    """Trains the cells in `folders` that have no result yet, `num_jobs` at a time, with `threads` each.

    Raises HraError with the message of one that failed, and KeyboardInterrupt where one was interrupted. The others are
    then stopped, and go on from their checkpoints next time.
    """
    waiting = [folder for folder in folders if not (folder / RESULT_NAME).exists()]
    running: dict[Path, subprocess.Popen[bytes]] = {}
    task = progress.add_task(description, total=len(folders), completed=len(folders) - len(waiting), note="")
    try:
        while waiting or running:
            while waiting and len(running) < num_jobs:
                folder = waiting.pop(0)
                running[folder] = _start(folder, threads)
            progress.update(task, note=", ".join(folder.name for folder in running))
            time.sleep(POLL_SECONDS)
            for folder, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[folder]
                if process.returncode == INTERRUPTED:  # Ctrl-C reaches cells as well, perhaps sooner
                    raise KeyboardInterrupt
                if process.returncode != 0:
                    raise HraError(_why(folder, process.returncode))
                progress.advance(task)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def train_on_cluster(folders: Sequence[Path], executor: Executor, description: str, progress: Progress) -> None:
    """Trains the cells in `folders` that have no result yet, each by a job of `executor`.

    Raises HraError with the message of one that failed; the others are finished first.
    """
    waiting = [folder for folder in folders if not (folder / RESULT_NAME).exists()]
    task = progress.add_task(description, total=len(folders), completed=len(folders) - len(waiting), note="")
    jobs = {executor.submit(train_cell, folder): folder for folder in waiting}
    failed: list[str] = []
    for job in as_completed(jobs):
        try:
            outcome(job, f"training {jobs[job].name} failed")
        except HraError as error:
            failed.append(str(error))
        progress.advance(task)
    if failed:
        raise HraError(failed[0])


def _start(folder: Path, threads: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with writing(folder / LOG_NAME), open(folder / LOG_NAME, "wb") as log:
        command = [sys.executable, "-m", PROGRAM, str(folder), str(os.getpid())]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _why(folder: Path, returncode: int) -> str:
    lines = (folder / LOG_NAME).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if returncode == MISTAKE and lines:
        return lines[-1]
    return f"training {folder.name} ended with exit status {returncode}; see {folder / LOG_NAME}"
