"""Graphs in their variants, some with smaller weights. Heads and controllers are inputs here, and stay in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hra_cli.export.compaction import compact
from hra_cli.export.export_config import FLOAT16, INT8
from hra_cli.export.libraries import import_library

if TYPE_CHECKING:
    from onnx import ModelProto


def in_variant(graph: ModelProto, variant: str) -> ModelProto:
    """A copy of the graph in a form that VARIANTS names."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(graph)
    if variant == INT8:
        copy = _in_int8(copy)
    elif variant == FLOAT16:
        copy = _in_float16(copy)
    compact(copy)
    del copy.metadata_props[:]  # the libraries add their own
    copy.metadata_props.extend(graph.metadata_props)
    return copy


def _in_int8(graph: ModelProto) -> ModelProto:
    """Products with constant weights in 8 bits, with inputs rounded as they come, as icefall's exports have it."""
    import onnx

    quantization = import_library("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save_model(graph, before)
        quantization.quantize_dynamic(
            before, after, op_types_to_quantize=["MatMul"], weight_type=quantization.QuantType.QInt8
        )
        return onnx.load_model(after)


def _in_float16(graph: ModelProto) -> ModelProto:
    """All in 16 bits but inputs and outputs."""
    converter = import_library("onnxruntime.transformers.float16")
    converted: ModelProto = converter.convert_float_to_float16(graph, keep_io_types=True)
    return converted
