"""The memory of the process: keeping what is freed, and how much it was at its most."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_GIBIBYTE = 1 << 30


def keep_freed_memory() -> None:
    """Tells the C library to reuse freed memory rather than hand it back to the kernel.

    Every activation of a forward pass is megabytes that glibc would map and unmap anew; on two cores that is a
    third of a training step. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _ONE_GIBIBYTE)
    mallopt(_M_TRIM_THRESHOLD, _ONE_GIBIBYTE)


def peak_memory(device: Any) -> float:
    """MiB that this process has held at its most: of the CUDA device, else resident on the host."""
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
