"""Processes that train one model together: started by torchrun or srun, talking through torch.distributed.

What is trained is small, so every process has all of it and makes the same steps; each computes a part of every batch.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Optional, TypeVar

import torch
import torch.distributed
from torch import Tensor

from hra_cli.errors import INTERRUPTED, MISTAKE, HraError

PATIENCE = 3.0  # seconds for which a rank that is alive may take to say so
T = TypeVar("T")


class Processes:
    """One process alone, and what several have to offer too: all of these are called by every rank at the same time."""

    rank = 0
    size = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Which device this rank computes on where the user says `name`."""
        return name

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """The items that this rank works on."""
        return items

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor the sum of those of all ranks, in place."""

    def gather_numbers(self, *own: float) -> list[tuple[float, ...]]:
        """The numbers of every rank in the order of ranks, to the precision of float64."""
        return [own]

    def gather(self, one: T) -> list[T]:
        """What every rank has, in the order of ranks."""
        return [one]

    def any(self, asked: bool) -> bool:
        """Whether any rank says so."""
        return any(asked for (asked,) in self.gather_numbers(asked))

    def wait(self) -> None:
        """Until all ranks have come to this place."""
        self.gather(None)


class Rank(Processes):
    """One of several. A rank that does not answer any more is an HraError that names it."""

    def __init__(self, rank: int, size: int, store: Any):
        self.rank = rank
        self.size = size
        self._store = store

    def device(self, name: str) -> str:
        if name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        return f"cuda:{os.environ['LOCAL_RANK']}"  # its number among the processes on this machine

    def part(self, items: Sequence[T]) -> Sequence[T]:
        return items[self.rank :: self.size]

    def add(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            return
        together = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._together():
            torch.distributed.all_reduce(together)
        for tensor, sums in zip(tensors, together.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(sums.view_as(tensor))

    def gather_numbers(self, *own: float) -> list[tuple[float, ...]]:
        numbers = torch.tensor(own, dtype=torch.float64)  # on the host, whatever the model is on
        everyone = [torch.empty_like(numbers) for _ in range(self.size)]
        with self._together():
            torch.distributed.all_gather(everyone, numbers)
        return [tuple(numbers.tolist()) for numbers in everyone]

    def gather(self, one: T) -> list[T]:
        everyone: list[Any] = [None] * self.size
        with self._together():
            torch.distributed.all_gather_object(everyone, one)
        return everyone

    def tells(self) -> bool:
        """Called by a rank that ends before its time. Returns whether it is the one to tell the user: rank 0 where it
        ends for itself, else the first that ends."""
        with contextlib.suppress(RuntimeError):  # the store may have gone with another rank
            if self.rank:
                self._answer("ended/0", PATIENCE)
            first = self._store.add("told", 1) == 1
            self._store.add(f"ended/{self.rank}", 1)
            if not self.rank:  # it may have the store, which the others still have to ask
                until = time.monotonic() + PATIENCE
                for rank in range(1, self.size):
                    self._answer(f"ended/{rank}", until - time.monotonic())
            return bool(first)
        return True

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of every backend, when a connection ends
            gone = self._gone()
            failed = f"the connection to the other processes failed ({' '.join(str(error).split())}); try --resume"
            raise _OthersEnded(failed if gone is None else gone) from error

    def _gone(self) -> Optional[str]:
        """Which rank died without a word, as a sentence; "" where one has said why, None where all are there."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        try:
            self._store.add(f"alive/{self.rank}", 1)
            until = time.monotonic() + PATIENCE
            left = others
            while left and time.monotonic() < until:
                if any(self._answer(f"ended/{rank}") for rank in others):
                    return ""
                left = [rank for rank in left if not self._answer(f"alive/{rank}")]
                time.sleep(0.05)
        except RuntimeError:
            left = [0]  # who has the store, where torchrun does not keep it
        dead = ", ".join(map(str, left))
        return f"rank {dead} of {self.size} has died; look at its messages, and go on with --resume" if left else None

    def _answer(self, key: str, patience: float = 0.0) -> bool:
        until = time.monotonic() + patience
        while not self._store.add(key, 0):  # old torch has no way to ask whether there is one
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        return True


class _OthersEnded(HraError):
    """Another rank is gone. Its message is "" where that rank has told the user why."""


@contextlib.contextmanager
def together(environment: Optional[Mapping[str, str]] = None) -> Iterator[Processes]:
    """The processes that were started to train together, for as long as the block lasts: one alone unless torchrun or
    srun says otherwise.

    What ends one of them ends all, and one of them says why: HraError or KeyboardInterrupt there, SystemExit with the
    same exit status in the others.
    """
    started = _started(os.environ if environment is None else environment)
    if started is None:
        yield Processes()
        return
    os.environ.update(started)
    processes = _connected()
    signals = _EndedByTorchrun()
    try:
        yield processes
    except _OthersEnded as error:
        signals.ignore()
        if processes.tells() and str(error):
            raise
        raise SystemExit(MISTAKE) from None
    except (HraError, KeyboardInterrupt) as error:
        signals.ignore()
        if not processes.tells():
            raise SystemExit(MISTAKE if isinstance(error, HraError) else INTERRUPTED) from None
        if isinstance(error, HraError) and processes.rank:
            raise HraError(f"rank {processes.rank}: {error}") from None
        raise
    except BaseException:
        signals.ignore()
        processes.tells()
        raise
    finally:
        # Without waiting for the others, of whom some may be gone.
        with contextlib.suppress(RuntimeError):
            torch.distributed.destroy_process_group()


class _EndedByTorchrun:
    """torchrun sends SIGTERM to all others when one process ends. It interrupts, and is ignored by a process that is
    ending already and has something to say."""

    def __init__(self) -> None:
        with contextlib.suppress(ValueError):  # not in the main thread: whoever owns it decides
            signal.signal(signal.SIGTERM, self._interrupt)

    def ignore(self) -> None:
        """From now on."""
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _interrupt(self, number: int, frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt


def _connected() -> Rank:
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(iter(rendezvous("env://")))
        # Gradients on GPUs go through NCCL, all that is on the host through gloo; old torch has one for both.
        nccl = torch.cuda.is_available() and not torch.__version__.startswith("1.")
        torch.distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if nccl else "gloo",
            store=torch.distributed.PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=datetime.timedelta(minutes=30),
        )
    except (RuntimeError, ValueError) as error:
        raise HraError(f"the processes do not find each other: {' '.join(str(error).split())}") from error
    return Rank(rank, size, store)


def _started(environment: Mapping[str, str]) -> Optional[dict[str, str]]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; None where this process was started alone.

    Raises HraError where they are not numbers, or do not fit together.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        found = {name: environment[name] for name in ("RANK", "WORLD_SIZE")}
        found["LOCAL_RANK"] = environment.get("LOCAL_RANK", "0")
        found["MASTER_ADDR"] = environment.get("MASTER_ADDR", "127.0.0.1")
        found["MASTER_PORT"] = environment.get("MASTER_PORT", "29500")
    elif "SLURM_STEP_NUM_TASKS" in environment:  # of srun; sbatch alone, which starts one process, does not set it
        found = {
            "RANK": environment.get("SLURM_PROCID", ""),
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
            "MASTER_ADDR": environment.get("MASTER_ADDR") or _first_host(environment.get("SLURM_STEP_NODELIST", "")),
            "MASTER_PORT": environment.get("MASTER_PORT") or _port(environment.get("SLURM_JOB_ID", "")),
        }
    else:
        return None
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        if not re.fullmatch("[0-9]{1,6}", found[name]):
            raise HraError(f"{name} is '{found[name]}' in the environment, not a number; start with torchrun or srun")
    if int(found["RANK"]) >= int(found["WORLD_SIZE"]):
        raise HraError(f"RANK is {found['RANK']} of WORLD_SIZE {found['WORLD_SIZE']}; start with torchrun or srun")
    return found if int(found["WORLD_SIZE"]) > 1 else None


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of hosts: 'gpu[03-05,09],cpu1' is gpu03."""
    match = re.match(r"([^,\[]*)(?:\[([^,\-\]]*))?", nodes)
    assert match is not None
    return match.group(1) + (match.group(2) or "") or "127.0.0.1"


def _port(job: str) -> str:
    """A port that two jobs on one machine do not share."""
    return str(20_000 + int(job) % 20_000) if job.isdigit() else "29500"
