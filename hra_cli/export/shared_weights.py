"""A file with the weights of many graphs: what several of them have is in it once.

ONNX calls it external data: a graph names the file, which must lie beside it, and where in it each tensor is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

# Tensors of fewer bytes stay in the graph. Among them are the shapes that onnxruntime asks for before it loads others.
_FEWEST_BYTES = 1024
_ALIGNMENT = 64  # of the tensors in the file


class SharedWeights:
    """Collects the large tensors of graphs in an open file."""

    def __init__(self, file: BinaryIO, name: str):
        """name: of the file, as graphs beside it name it."""
        self._file = file
        self._name = name
        self._places: dict[bytes, tuple[int, int]] = {}  # by content: offset and length

    def take_from(self, graph: ModelProto) -> None:
        """Moves the graph's large constants into the file."""
        for tensor in graph.graph.initializer:
            content = _content(tensor)
            if len(content) >= _FEWEST_BYTES:
                self._refer(tensor, *self._place_of(content))

    def _place_of(self, content: bytes) -> tuple[int, int]:
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            self._places[digest] = self._file.tell(), len(content)
            self._file.write(content)
        return self._places[digest]

    def _refer(self, tensor: TensorProto, offset: int, length: int) -> None:
        from onnx import TensorProto

        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._name), ("offset", offset), ("length", length)):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)


def _content(tensor: TensorProto) -> bytes:
    from onnx.numpy_helper import to_array

    return to_array(tensor).tobytes()
