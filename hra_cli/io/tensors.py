"""Tensors by name: safetensors files and fingerprints."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hra_cli.errors import HraError
from hra_cli.io.files import check_utf8, replacing

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises HraError where it is missing, truncated, another kind, or has a tensor of a type that hra does not know.
    """
    check_utf8(file)
    with _opened(file) as opened:
        names = opened.keys()
        for name in names:
            dtype = opened.get_slice(name).get_dtype()
            if dtype not in _DTYPE_NAMES.values():
                raise HraError(f"{file}: {in_one_line(name)} is of type {dtype}, which hra does not read")
        # cloned: the file may be replaced or deleted while they are in use
        return {name: opened.get_tensor(name).clone() for name in names}, dict(opened.metadata() or {})


class TensorFile:
    """A safetensors file that stays open and is mapped into memory, for reading a little of much.

    Raises HraError as `read_safetensors` does.
    """

    def __init__(self, file: Path):
        check_utf8(file)
        self.file = file
        self._files = contextlib.ExitStack()
        self._opened = self._files.enter_context(_opened(file))
        self.metadata: dict[str, str] = dict(self._opened.metadata() or {})
        self.names: list[str] = list(self._opened.keys())

    def tensor(self, name: str) -> Tensor:
        """A copy of one tensor. Raises HraError where there is none of that name."""
        with self._naming(name):
            tensor: Tensor = self._opened.get_tensor(name).clone()
            return tensor

    def rows(self, name: str) -> int:
        """How many rows a tensor has; 0 where it has no axis. Raises HraError where there is none of that name."""
        with self._naming(name):
            shape = self._opened.get_slice(name).get_shape()
            return int(shape[0]) if shape else 0

    def row(self, name: str, row: int) -> Tensor:
        """A copy of one row of the first axis. Raises HraError where there is none."""
        with self._naming(name):
            tensor: Tensor = self._opened.get_slice(name)[row].clone()
            return tensor

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        try:
            yield
        except (SafetensorError, ValueError, TypeError, RuntimeError, IndexError, KeyError) as error:
            raise HraError(
                f"{self.file}: {in_one_line(name)} is missing or damaged; copy or export it again"
            ) from error


def read_metadata(file: Path) -> dict[str, str]:
    """The metadata alone. Raises HraError as `read_safetensors` does."""
    with _opened(file) as opened:
        return dict(opened.metadata() or {})


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    if not file.is_file():
        raise HraError(f"{file} is a folder, not a file" if file.is_dir() else f"no such file: {file}")
    try:
        with safe_open(str(file), framework="pt") as opened:
            yield opened
    except OSError as error:
        raise HraError(f"cannot read {file}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise HraError(f"{file} is not a safetensors file, or is truncated; copy or export it again") from error


PARAMETER_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def check_parameters(
    tensors: Mapping[str, Tensor], what: str, remedy: str, dtypes: Collection[torch.dtype] = PARAMETER_DTYPES
) -> None:
    """Raises HraError, `what`: …; `remedy`, that names a tensor of another type, or with NaN or infinity in it."""
    for name, tensor in tensors.items():
        if tensor.dtype not in dtypes:
            dtype = str(tensor.dtype).replace("torch.", "")
            raise HraError(f"{what}: {in_one_line(name)} is of type {dtype}, which parameters cannot have; {remedy}")
        # The sum takes a seventh of the time. It may be infinite where no number is.
        if not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
            raise HraError(f"{what}: {in_one_line(name)} has numbers that are not finite; {remedy}")


def in_one_line(text: str) -> str:
    """The beginning of what a file says, for a message."""
    return " ".join(text[:80].split())


def write_safetensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes whole or not at all; equal tensors and metadata give equal bytes."""
    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    content = _with_sorted_metadata(save(contiguous, metadata=dict(metadata)))
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def _with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file with its metadata in the order of the keys: the library writes them in the order of a
    hash map, which differs from one process to the next."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    ordered = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items())), **header}
    encoded = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + content[end:]


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over the tensors sorted by name: name, dtype, shape, little-endian bytes.

    The same tensors give the same fingerprint whatever file they came from.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        shape = ",".join(str(size) for size in tensor.shape)
        digest.update(f"{name}\0{_DTYPE_NAMES[tensor.dtype]}\0{shape}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
