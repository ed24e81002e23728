"""Modules to ONNX graphs, by torch's tracing exporter."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import torch

from hra_cli.export.graph_modules import GraphModule

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17  # the newest that torch 1.13 writes
# Later torch has a second exporter, which needs packages of its own, and prefers it.
_BY_TRACING = {} if torch.__version__.startswith("1.") else {"dynamo": False}


def traced(graph: GraphModule) -> ModelProto:
    """The graph with the module's weights in it."""
    import onnx

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # Of every size that is taken for a constant: widths are, numbers of frames and utterances are not.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(graph.example),
            file,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_axes=graph.axes,
            opset_version=OPSET,
            **_BY_TRACING,
        )
    return onnx.load_model_from_string(file.getvalue())
