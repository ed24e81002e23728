"""Cases in processes of their own: one that crashes, hangs or takes all memory is an outcome, and the rest go on."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from robustness.outcomes import CRASH, HANG, Outcome
from robustness.samples import Samples

Case = tuple[str, int]
LONGEST = 30.0  # seconds of computing that a case may take
LONGEST_ASLEEP = 180.0  # seconds by the clock, since the machine may be busy with other things
STARTING = 20.0  # seconds of computing more for the imports, and the result of the first undamaged file
MEMORY = 3 << 30  # bytes that a case may take beside what the libraries do


def run_cases(
    cases: Sequence[Case], folder: Path, samples: Samples, jobs: int, longest: float = LONGEST
) -> Iterator[tuple[Case, Outcome]]:
    """Every case with its outcome, as they end. folder: where the processes work. longest: seconds of computing."""
    todo = deque(cases)
    workers = [_Worker(folder / f"w{number}", samples, longest) for number in range(min(jobs, len(todo)))]
    try:
        for worker in workers:
            worker.start(todo.popleft())
        while busy := [worker for worker in workers if worker.case]:
            ready = wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                outcome = worker.outcome(worker.connection in ready)
                if outcome is not None:
                    yield worker.case, outcome
                    worker.case = None
                    if todo:
                        worker.start(todo.popleft())
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    def __init__(self, folder: Path, samples: Samples, longest: float):
        self.folder, self.samples, self.longest = folder, samples, longest
        self.case: Case | None = None
        self.process: SpawnProcess | None = None

    def start(self, case: Case) -> None:
        if self.process is None:
            self._begin()
        self.case = case
        self.until = time.monotonic() + LONGEST_ASLEEP
        self.until_computed = self._computed() + self.longest + self.starting
        self.starting = 0.0
        self.connection.send(case)

    def outcome(self, ready: bool) -> Outcome | None:
        """Of the case that runs; None where it goes on."""
        if ready:
            try:
                outcome: Outcome = self.connection.recv()
                return outcome
            except EOFError:
                self.process.join()
                status = self.process.exitcode or 0
                name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
                said = self.folder.with_suffix(".output").read_text(encoding="utf-8", errors="replace").split("\n")
                detail, where = f"{name}: {' '.join(said[-2:])[:150]}", self._stack()
                self.kill()
                return Outcome(CRASH, detail, where)
        if time.monotonic() > self.until or self._computed() > self.until_computed:
            os.kill(self.process.pid, signal.SIGUSR1)  # writes down where it is
            time.sleep(0.5)
            where = self._stack()
            self.kill()
            return Outcome(HANG, f"more than {self.longest:.0f} s of computing, or {LONGEST_ASLEEP:.0f} s", where)
        return None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None

    def _begin(self) -> None:
        # "spawn", since a fork of a process that has run torch's threads can hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self.folder, self.samples)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.starting = STARTING

    def _computed(self) -> float:
        """Seconds of computing so far."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:  # it has ended
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stack(self) -> str:
        """Where the process was, as faulthandler wrote it down: the innermost lines of Python."""
        lines = self.folder.with_suffix(".stack").read_text(encoding="utf-8", errors="replace").splitlines()
        frames = [line.strip() for line in lines if line.startswith("  File")]
        return " > ".join(frame.split("/")[-1].replace('", line ', ":") for frame in frames[:2])


def _serve(connection: Connection, folder: Path, samples: Samples) -> None:
    from robustness.cases import Workshop

    stack = open(folder.with_suffix(".stack"), "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    faulthandler.enable(stack)
    faulthandler.register(signal.SIGUSR1, stack)
    # What C libraries write is not for the terminal of whoever fuzzes.
    output = os.open(folder.with_suffix(".output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    workshop = Workshop(folder, samples)
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        connection.send(workshop.run(*case))
