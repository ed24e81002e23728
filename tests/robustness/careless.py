"""Readers that do what no reader may, to see that the fuzzer notices."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any
from unittest import mock

from robustness.kinds import Kind
from robustness.outcomes import hra
from robustness.samples import Samples

from hra_cli.commands import terminal
from hra_cli.errors import HraError

UNDAMAGED = b"one"


def _place(folder: Path, samples: Samples) -> Path:
    file = folder / "file.txt"
    file.write_bytes(UNDAMAGED)
    return file


def _damage(content: bytes, rng: Any) -> bytes:
    return b"touch was-executed"


def _kind(read: Any) -> Kind:
    """A kind whose reader is careless with damaged files only."""
    name = f"careless-{read.__name__.strip('_').replace('_', '-')}"
    return Kind(name, _place, (_damage,), lambda file, samples: file.read_bytes() == UNDAMAGED or read(file))


def _executes(file: Path) -> None:
    os.system(file.read_text(encoding="utf-8"))


def _writes_elsewhere(file: Path) -> None:
    (file.parents[1] / "escaped").touch()


def _raises(file: Path) -> None:
    raise ZeroDivisionError


def _crashes(file: Path) -> None:
    ctypes.string_at(0)


def _hangs(file: Path) -> None:
    while True:
        pass


def _takes_all_memory(file: Path) -> None:
    bytearray(1 << 40)


def _names_nothing(file: Path) -> None:
    raise HraError("something is wrong")


def _accepts(file: Path) -> int:
    return 2


def _prints_what_is_there(file: Path) -> None:
    with mock.patch.object(terminal, "plain", str):
        hra("info", file.parent / "\x1b[31m.safetensors")


def _refuses(file: Path) -> None:
    raise HraError(f"{file} is damaged; make it again")


CARELESS = {
    _kind(read).name: _kind(read)
    for read in (
        _executes, _writes_elsewhere, _raises, _crashes, _hangs, _takes_all_memory, _names_nothing, _accepts,
        _prints_what_is_there, _refuses,
    )
}  # fmt: skip
