"""Which device computes, which there are, and how tensors get there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

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
    """The name of every device, as `find_device` takes it, and one line on it: the CPU first, then CUDA's."""
    found = [("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(number)
        found.append((f"cuda:{number}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"))
    return found


def host_can_read(device: torch.device) -> bool:
    """Whether the host can read a result of this device without waiting: true for the CPU.

    A GPU works behind the host. To read a result, the host would have to wait until the GPU has caught up.
    """
    return device.type == "cpu"


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`. What comes from the host is sent to a GPU while the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # the host would have to wait for a copy from memory that is not pinned
    return tensor.to(device, non_blocking=True)


def on_device(values: Sequence[int] | Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """A list of whole numbers, or a list of such lists of one length, as an int64 tensor on `device`."""
    return to_device(torch.tensor(values, dtype=torch.int64), device)


def gradient_scaler(precision: str) -> torch.cuda.amp.GradScaler:
    """Scales the loss in float16, so that small gradients do not vanish. In other precisions it does nothing."""
    enabled = precision == "float16"
    # torch 2.3 and later have the class in another place, and warn of this one.
    scaler: torch.cuda.amp.GradScaler = (
        torch.amp.GradScaler("cuda", enabled=enabled)
        if hasattr(torch.amp, "GradScaler")
        else torch.cuda.amp.GradScaler(enabled=enabled)
    )
    return scaler


@contextmanager
def without_cudnn(device: torch.device) -> Iterator[None]:
    """Within it, convolutions on a GPU are computed by torch's own kernels; on the CPU nothing changes.

    cuDNN makes a plan for every shape that it has not seen, and nearly every utterance has a length of its own: a plan
    takes a hundred times as long as the front end of an utterance. It would also round float32 to TF32.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def make_repeatable(device: torch.device) -> None:
    """Makes this process compute the same bits every time on `device`. The CPU does so anyway.

    On CUDA torch then uses kernels that add up in one order. Where it has none, it warns.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.use_deterministic_algorithms(True, warn_only=True)
