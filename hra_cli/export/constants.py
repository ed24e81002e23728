"""Inputs of a graph made constants: the graph of all tasks becomes that of one task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from onnx import ModelProto


def with_constants(graph: ModelProto, values: Mapping[str, Tensor]) -> ModelProto:
    """A copy of the graph in which the inputs with these names have these values, in float32."""
    from onnx import ModelProto
    from onnx.numpy_helper import from_array

    made = ModelProto()
    made.CopyFrom(graph)
    others = [one for one in made.graph.input if one.name not in values]
    del made.graph.input[:]
    made.graph.input.extend(others)
    made.graph.initializer.extend(from_array(value.float().numpy(), name) for name, value in values.items())
    return made
