"""Tensors from a file of `torch.save`, by a reader that can run nothing.

In torch 1.13, torch.load(weights_only=True) hands a TorchScript archive to torch.jit.load, which runs the code in it,
unpacks tar files, and reads past the end of a storage that is shorter than it says. So zipfile reads the archive here,
in either torch, and tensor_pickle.py the pickle.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import numpy
import torch
from torch import Tensor

from hra_cli.errors import HraError
from hra_cli.io.tensor_pickle import MoreThanTensors, StoredTensor, unpickle

_EXPORT = "export the weights with icefall's zipformer/export.py and use the pretrained.pt that it writes"
# All the ways in which zipfile, pickletools and torch say that a file is damaged.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, TypeError,
    LookupError, OverflowError, MemoryError,
)  # fmt: skip


def read_torch_file(file: Path, choose: Callable[[Any], Mapping[str, StoredTensor]]) -> dict[str, Tensor]:
    """Some of the tensors in a file of torch.save.

    choose: gets what was saved, see `unpickle`, and returns those that are wanted; only these are read.
    Raises HraError for a file that holds more than tensors and settings, or is TorchScript, damaged or no such file.
    """
    try:
        with open(file, "rb") as stream:
            start = stream.read(4)
            if start[:2] == b"\x80\x02":
                raise HraError(f"{file} is a bare pickle, as of torch before 1.6, and is not opened; {_EXPORT}")
            if start != b"PK\x03\x04":
                raise HraError(f"{file} is not a PyTorch checkpoint")
            with zipfile.ZipFile(stream) as archive:
                return _Archive(file, archive).read(choose)
    except MoreThanTensors as error:
        raise HraError(
            f"{file} holds more than tensors, and opening it would run code from the file; {_EXPORT}"
        ) from error
    except OSError as error:
        raise HraError(f"cannot read {file}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise HraError(f"{file} is not a PyTorch checkpoint, or is damaged; copy or export it again") from error


class _Archive:
    """A zip archive FOLDER/data.pkl, FOLDER/data/0, FOLDER/data/1 … and what versions of torch put beside them."""

    def __init__(self, file: Path, archive: zipfile.ZipFile):
        names = archive.namelist()
        if any(part in ("constants.pkl", "code") for name in names for part in name.lower().split("/")):
            raise HraError(
                f"{file} is a TorchScript archive, and opening it would run the code in it; "
                + _EXPORT.replace("export.py", "export.py without --jit 1")
            )
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no data.pkl, or several")
        self._archive = archive
        self._folder = pickles[0][: -len("data.pkl")]
        self._left = self._size = file.stat().st_size
        if f"{self._folder}byteorder" in names and self._member("byteorder") != b"little":
            raise HraError(f"{file} was written on a big-endian machine, and is not read; {_EXPORT}")

    def read(self, choose: Callable[[Any], Mapping[str, StoredTensor]]) -> dict[str, Tensor]:
        content = unpickle(self._member("data.pkl"))
        storages: dict[tuple[str, torch.dtype], Tensor] = {}
        tensors: dict[str, Tensor] = {}
        for name, stored in choose(content).items():
            place = (stored.key, stored.dtype)
            if place not in storages:
                storages[place] = self._storage(stored.key, stored.dtype)
            # Strides of 0 make any number of numbers of one.
            self._left -= stored.numbers * storages[place].element_size()
            if stored.end > len(storages[place]) or self._left < 0:
                raise ValueError(f"{name} has more numbers than the file")
            tensors[name] = storages[place].as_strided(stored.shape, stored.strides, stored.offset)
        return tensors

    def _storage(self, key: str, dtype: torch.dtype) -> Tensor:
        """A storage's numbers, in memory that torch has aligned."""
        content = numpy.frombuffer(self._member(f"data/{key}"), numpy.uint8)
        storage = torch.empty(len(content), dtype=torch.uint8)
        storage.numpy()[:] = content
        return storage.view(dtype)

    def _member(self, name: str) -> bytes:
        """A member of the archive, as whole as its checksum says."""
        entry = self._archive.getinfo(self._folder + name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
            raise ValueError(f"{name} is larger than the file")
        return self._archive.read(entry)
