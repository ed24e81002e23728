"""The memory of the process: keeping what is freed, and its peak."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line asks for this module before it knows whether it needs torch
    import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_GIBIBYTE = 1 << 30
_MEBIBYTE = 1 << 20


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


def peak_memory(device: torch.device) -> float:
    """MiB that this process had at its most: resident on the host for the CPU, in tensors for a CUDA device."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / _MEBIBYTE
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEBIBYTE
