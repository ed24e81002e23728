"""What a pickle of `torch.save` says of tensors, found without importing or calling anything that it names."""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import Any, Optional

import torch

_DTYPES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}
# What torch.save also writes: for settings, and for tensors of other types.
_LEFT_OUT = {
    "_codecs encode", "__builtin__ set", "__builtin__ bytearray", "__builtin__ complex", "collections Counter",
    "torch Size", "torch device", "torch.storage UntypedStorage",
    "pathlib PosixPath", "pathlib WindowsPath",  # icefall's exp_dir, beside the model in every epoch-N.pt
    *(str(value).replace(".", " ") for value in vars(torch).values() if isinstance(value, torch.dtype)),
}  # fmt: skip
_LARGEST_RANK = 8


class MoreThanTensors(Exception):
    """The pickle names what torch.save does not write for tensors and settings."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's numbers are: in the storage `key`, from `offset` on; offset and strides count numbers."""

    dtype: torch.dtype
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many it has."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """Where the tensor's last number ends in the storage."""
        if not self.numbers:
            return 0
        return self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides)) + 1


def unpickle(content: bytes) -> Any:
    """Dictionaries, lists, tuples, numbers, strings, and a `StoredTensor` for every tensor.

    None stands for other harmless objects, such as a torch.Size. Raises MoreThanTensors, and for a damaged pickle
    ValueError, TypeError or LookupError.
    """
    machine = _Machine()
    for instruction, argument, _ in pickletools.genops(content):
        if instruction.name == "STOP":
            return machine.stack.pop()
        machine.step(instruction.name, argument)
    raise ValueError("no end")


@dataclass(frozen=True)
class _Name:
    """ "module name" of a class or function."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The type of a storage's numbers, and the storage's name in the archive."""

    dtype: torch.dtype
    key: str


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The instructions of protocol 2, which torch.save writes."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self._last(_TUPLES[name])))
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "TUPLE":
            self.stack.append(tuple(self._since_mark()))
        elif name == "EMPTY_DICT":
            self.stack.append({})
        elif name == "EMPTY_LIST":
            self.stack.append([])
        elif name == "SETITEM":
            self._set(self._last(2))
        elif name == "SETITEMS":
            self._set(self._since_mark())
        elif name == "APPEND":
            self._append(self._last(1))
        elif name == "APPENDS":
            self._append(self._since_mark())
        elif name == "GLOBAL":
            self.stack.append(_known(argument))
        elif name == "BINPERSID":
            self.stack.append(_storage(*self.stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            self.stack.append(_made(*self._last(2)))
        elif name == "BUILD":  # what is set on an object
            self.stack.pop()
        elif name != "PROTO":
            raise MoreThanTensors(name)

    def _last(self, count: int) -> list[Any]:
        return self._from(len(self.stack) - count)

    def _since_mark(self) -> list[Any]:
        return self._from(self.marks.pop())

    def _from(self, start: int) -> list[Any]:
        if not 0 <= start <= len(self.stack):
            raise ValueError("less on the stack than is taken")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _set(self, values: list[Any]) -> None:
        keys = values[0::2]
        # The hash of another key may need as deep a stack as the file likes.
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, (str, int)) for key in keys):
            raise TypeError("no dictionary, or no key of one")
        self.stack[-1].update(zip(keys, values[1::2]))

    def _append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("no list")
        self.stack[-1].extend(values)


def _known(name: str) -> _Name:
    of_tensors = name.startswith(("torch._utils _rebuild_", "torch.nn.parameter ")) or (
        name.startswith("torch ") and name.endswith("Storage")
    )
    if not of_tensors and name not in _LEFT_OUT and name != "collections OrderedDict":
        raise MoreThanTensors(name)
    return _Name(name)


def _storage(kind: Any, type_: _Name, key: Any, device: Any, numbers: Any) -> Optional[_Storage]:
    """What a persistent id stands for."""
    if kind != "storage" or not isinstance(key, str):
        raise ValueError("no storage")
    return _Storage(_DTYPES[type_.name], key) if type_.name in _DTYPES else None


def _made(function: Any, arguments: Any) -> Any:
    """What calling `function` would give, as far as it concerns tensors."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise TypeError("no call")
    if function.name == "collections OrderedDict":
        return {}
    if function.name == "torch._utils _rebuild_parameter":
        return arguments[0]
    if function.name == "torch._utils _rebuild_tensor_v2" and isinstance(arguments[0], _Storage):
        storage, offset, shape, strides = arguments[:4]
        if len(shape) != len(strides) or len(shape) > _LARGEST_RANK:
            raise ValueError("no shape")
        if not all(isinstance(number, int) and 0 <= number < 2**63 for number in (offset, *shape, *strides)):
            raise ValueError("no shape")
        return StoredTensor(storage.dtype, storage.key, offset, shape, strides)
    return None
