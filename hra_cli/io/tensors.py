"""Tensors by name: safetensors files and fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hra_cli.errors import HraError
from hra_cli.io.files import replacing


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises HraError where it is missing, truncated or another kind."""
    if not file.is_file():
        raise HraError(f"no such file: {file}")
    try:
        with safe_open(str(file), framework="pt") as opened:
            # cloned: the file may be replaced or deleted while they are in use
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
            return tensors, dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise HraError(f"{file} is not a safetensors file, or is truncated; copy or export it again") from error


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
