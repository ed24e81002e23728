"""Timing two ways to do the same thing in pairs (A, B, A, B, …), so that what else the machine does slows both."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import torch

from hra_cli.nn.device import find_device

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pairs:
    """Seconds of a and of b, pair by pair."""

    a: list[float]
    b: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times as long as a each pair's b took."""
        return [b / a for a, b in zip(self.a, self.b)]

    def as_json(self) -> dict[str, Any]:
        return {
            "seconds_a": self.a,
            "seconds_b": self.b,
            "ratio": dict(zip(("lower quartile", "median", "upper quartile"), quartiles(self.ratios))),
        }


def timed_pairs(a: Callable[[], object], b: Callable[[], object], pairs: int, warm_up: int = 2) -> Pairs:
    """Runs a and b alternately, first `warm_up` times each without counting them. What they ask of a GPU counts until
    it is done."""
    seconds = Pairs([], [])
    for pair in range(-warm_up, pairs):
        for work, measured in ((a, seconds.a), (b, seconds.b)):
            begun = time.perf_counter()
            work()
            wait_for_gpu()
            taken = time.perf_counter() - begun
            if pair >= 0:
                measured.append(taken)
    return seconds


def wait_for_gpu() -> None:
    """Waits until a GPU, where one has been used, has done all that it was asked."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of one value, itself."""
    if len(values) == 1:
        return (values[0],) * 3
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def with_spread(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """The median, and the quartiles in brackets."""
    lower, middle, upper = (f"{scale * value:.{digits}f}" for value in quartiles(values))
    return f"{middle} [{lower} – {upper}]"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device, a torch.device."""
    parser.add_argument("--device", type=find_device, default=CPU, help="cpu, cuda or cuda:N; default: cpu")


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_initialized() else None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
