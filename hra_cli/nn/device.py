"""Which device computes."""

from __future__ import annotations

import os
import re

import torch

from hra_cli.errors import HraError


def find_device(name: str) -> torch.device:
    """The device called `name`: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises HraError for another name, and for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise HraError(f"no such --device: '{name}'; there are auto, cpu, cuda and cuda:N")
    if not torch.cuda.is_available():
        raise HraError(f"--device {name}: torch {torch.__version__} finds no CUDA device here; use --device cpu")
    number, there = int(match.group(1) or 0), torch.cuda.device_count()
    if number >= there:
        raise HraError(f"--device {name}: there are {there} CUDA devices, cuda:0 to cuda:{there - 1}")
    return torch.device("cuda", number)


def available_devices() -> list[tuple[str, str]]:
    """The devices that are there: the name that --device takes, and what it is."""
    cpu = ("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [
        cpu,
        *((f"cuda:{number}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB") for number, card in enumerate(cards)),
    ]


def gradient_scaler(precision: str) -> torch.cuda.amp.GradScaler:
    """What keeps small gradients from vanishing in float16; for other precisions one that does nothing."""
    return torch.cuda.amp.GradScaler(enabled=precision == "float16")
