"""Kills hra's commands at random moments, runs them again, and holds the outcome against an undisturbed run's.

python -m robustness.chaos [--kills N] [--jobs N] [--command NAME …] [--seed N]

A third of the kills are Ctrl-C, half of these in the first two seconds. `make chaos` does 100. Ends with 1 where
something differs, is left behind, cannot go on, or is a traceback.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from robustness.commands_to_kill import BY_NAME, COMMANDS, Command, contents, leftovers
from robustness.samples import Samples, make_samples

from hra_cli.errors import INTERRUPTED

LONGEST = 300.0  # seconds that a run may take


@dataclass(frozen=True)
class Kill:
    """Of one command, after so many seconds. whole_group: its child processes with it, as a terminal does."""

    command: str
    number: int
    seconds: float
    whole_group: bool


@dataclass(frozen=True)
class Undisturbed:
    """What a command makes where nobody disturbs it, and how long it takes."""

    outcome: dict[str, Any]
    seconds: float


def undisturbed(command: Command, folder: Path, samples: Samples) -> Undisturbed:
    """Runs a command to its end."""
    _place(command, folder, samples)
    started = time.monotonic()
    faults = _finish(command.arguments(folder, samples), folder)
    assert not faults, f"{command.name}: {faults}"
    return Undisturbed(contents(folder), time.monotonic() - started)


def faults_after(kill: Kill, folder: Path, samples: Samples, whole: Undisturbed) -> tuple[bool, list[str]]:
    """(whether the command was still running when it was killed, everything that is wrong after it ran again)."""
    command = BY_NAME[kill.command]
    _place(command, folder, samples)
    process = _start(command.arguments(folder, samples), folder, "killed")
    try:
        process.wait(kill.seconds)
        in_time = False
    except subprocess.TimeoutExpired:
        in_time = True
        (os.killpg if kill.whole_group else os.kill)(process.pid, kill.number)
        process.wait(LONGEST)
    said = (folder.parent / f"{folder.name}.killed").read_text(encoding="utf-8", errors="replace")
    faults = []
    if "Traceback" in said:
        faults.append(f"a traceback: {said[-300:]}")
    # It may have come to its end, or ended one step later, between the two.
    allowed = (0, INTERRUPTED) if kill.number == signal.SIGINT else (0, -kill.number)
    if process.returncode not in allowed:
        faults.append(f"exit status {process.returncode}: {said[-300:]}")
    faults += _finish([*command.arguments(folder, samples), *command.again], folder)
    now = contents(folder)
    differing = sorted(name for name in now.keys() | whole.outcome.keys() if now.get(name) != whole.outcome.get(name))
    if differing:
        faults.append(f"differs: {', '.join(differing[:5])}")
    if left := leftovers(folder):
        faults.append(f"left behind: {', '.join(left[:5])}")
    return in_time, faults


def _place(command: Command, folder: Path, samples: Samples) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command.place(folder, samples)


def _start(arguments: Sequence[object], folder: Path, name: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "hra_cli", *map(str, arguments)]
    with open(folder.parent / f"{folder.name}.{name}", "wb") as said:
        return subprocess.Popen(line, stdout=said, stderr=said, cwd=folder.parent, start_new_session=True)


def _finish(arguments: Sequence[object], folder: Path) -> list[str]:
    """Runs to the end; what went wrong."""
    process = _start(arguments, folder, "again")
    try:
        status = process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return [f"does not end within {LONGEST:.0f} s"]
    if not status:
        return []
    said = (folder.parent / f"{folder.name}.again").read_text(encoding="utf-8", errors="replace")
    return [f"run again it ends with {status}: {said[-300:]}"]


def plan(kills: int, seconds: dict[str, float], seed: int) -> list[Kill]:
    """As many kills of each command, at moments of its duration, given in `seconds`."""
    rng = random.Random(seed)
    found = []
    for index in range(kills):
        name = list(seconds)[index % len(seconds)]
        interrupt = rng.random() < 1 / 3
        latest = min(2.0, seconds[name]) if interrupt and rng.random() < 0.5 else seconds[name]
        number = signal.SIGINT if interrupt else signal.SIGKILL
        # Ctrl-C reaches every process of the terminal; a system out of memory kills one.
        found.append(Kill(name, number, rng.uniform(0.05, latest), interrupt or rng.random() < 0.5))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at a time")
    parser.add_argument("--command", action="append", choices=list(BY_NAME), help="repeatable; default: all")
    parser.add_argument("--seed", type=int, default=0, help="other moments")
    arguments = parser.parse_args()
    # A shell's background jobs are started deaf to Ctrl-C, and so would be what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = arguments.command or [command.name for command in COMMANDS]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hra-chaos-") as root, ThreadPoolExecutor(arguments.jobs) as pool:
        samples = make_samples(Path(root) / "samples")
        folders = {name: Path(root) / f"whole-{number}" for number, name in enumerate(names)}
        runs = pool.map(lambda name: undisturbed(BY_NAME[name], folders[name], samples), names)
        whole = dict(zip(names, runs))
        kills = plan(arguments.kills, {name: run.seconds for name, run in whole.items()}, arguments.seed)

        def one(numbered: tuple[int, Kill]) -> tuple[bool, list[str]]:
            number, kill = numbered
            folder = Path(root) / f"kill-{number}"
            found = faults_after(kill, folder, samples, whole[kill.command])
            shutil.rmtree(folder)
            return found

        found = list(zip(kills, pool.map(one, enumerate(kills))))
    print_report(found, whole, time.monotonic() - started)
    sys.exit(any(faults for _, (_, faults) in found))


def print_report(
    found: Sequence[tuple[Kill, tuple[bool, list[str]]]], whole: dict[str, Undisturbed], seconds: float
) -> None:
    """Counts by command, and every fault."""
    console = Console(width=160, soft_wrap=True, markup=False, emoji=False, highlight=False)
    table = Table(title=f"{len(found)} kills, {seconds:.0f} s")
    table.add_column("command")
    for column in ("takes s", "kills", "SIGKILL", "SIGINT", "first 2 s", "had ended", "the same", "faults"):
        table.add_column(column, justify="right")
    totals = [0] * 7
    for name, run in whole.items():
        its = [(kill, in_time, faults) for kill, (in_time, faults) in found if kill.command == name]
        signals = collections.Counter(kill.number for kill, _, _ in its)
        row = [
            len(its),
            signals[signal.SIGKILL],
            signals[signal.SIGINT],
            sum(kill.seconds < 2 for kill, _, _ in its),
            sum(not in_time for _, in_time, _ in its),
            sum(not faults for _, _, faults in its),
            sum(bool(faults) for _, _, faults in its),
        ]
        totals = [total + count for total, count in zip(totals, row)]
        table.add_row(name, f"{run.seconds:.1f}", *map(str, row))
    table.add_section()
    table.add_row("all", "", *map(str, totals))
    console.print(table)
    for kill, (_, faults) in found:
        for fault in faults:
            group = ", its processes with it" if kill.whole_group else ""
            console.print(
                f"{kill.command}: {signal.Signals(kill.number).name} after {kill.seconds:.2f} s{group}: {fault}"
            )


if __name__ == "__main__":
    main()
