"""What sherpa-onnx reads beside the graphs: their metadata, and the tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hra_cli.backbone.model import Backbone
from hra_cli.backbone.sizes import StackSizes

if TYPE_CHECKING:
    from onnx import ModelProto

_AUTHOR = "hra"


def add_metadata(graph: ModelProto, metadata: Mapping[str, str]) -> None:
    """Writes the metadata into the graph."""
    for key, value in metadata.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value


def encoder_metadata(backbone: Backbone) -> dict[str, str]:
    """Of an encoder, as icefall's exports have it."""
    common = {"model_type": "zipformer2", "version": "1", "model_author": _AUTHOR}
    if backbone.options.chunk_size is None:
        return {**common, "comment": "non-streaming zipformer2"}
    left = backbone.options.left_context_frames or 0
    shift, features = backbone.chunk_features

    def of_stacks(value: Callable[[StackSizes], int]) -> str:
        return ",".join(str(value(stack)) for stack in backbone.sizes.stacks)

    return {
        **common,
        "comment": "streaming zipformer2",
        "decode_chunk_len": str(shift),
        "T": str(features),
        "num_encoder_layers": of_stacks(lambda stack: stack.layers),
        "encoder_dims": of_stacks(lambda stack: stack.width),
        "cnn_module_kernels": of_stacks(lambda stack: stack.kernel),
        "left_context_len": of_stacks(lambda stack: left // stack.downsampling),
        "query_head_dims": of_stacks(lambda stack: stack.query_head_dim),
        "value_head_dims": of_stacks(lambda stack: stack.value_head_dim),
        "num_heads": of_stacks(lambda stack: stack.heads),
    }


def decoder_metadata(backbone: Backbone) -> dict[str, str]:
    """Of a decoder."""
    return {"context_size": str(backbone.sizes.context_size), "vocab_size": str(backbone.sizes.vocab_size)}


def joiner_metadata(backbone: Backbone) -> dict[str, str]:
    """Of a joiner."""
    return {"joiner_dim": str(backbone.sizes.joiner_dim)}
