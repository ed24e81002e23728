"""A recogniser's sizes, read from the shapes of its tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from hra_cli.errors import HraError


@dataclass(frozen=True)
class StackSizes:
    """One encoder stack. downsampling: frames of 20 ms per frame. width, feedforward: channels. kernel: frames."""

    layers: int
    downsampling: int
    width: int
    feedforward: int
    heads: int
    query_head_dim: int
    value_head_dim: int
    pos_head_dim: int
    pos_dim: int
    kernel: int


@dataclass(frozen=True)
class BackboneSizes:
    """A whole recogniser. output_downsampling: frames of 20 ms per encoder frame. context_size: tokens."""

    stacks: list[StackSizes]
    output_downsampling: int
    causal: bool
    decoder_dim: int
    decoder_group_size: int
    context_size: int
    joiner_dim: int
    vocab_size: int

    @property
    def width(self) -> int:
        """Channels of encoder_out: those of the widest stack."""
        return max(stack.width for stack in self.stacks)

    @property
    def subsampling(self) -> int:
        """Feature frames (100 Hz) for each encoder frame: two in the front end, times the last downsampling."""
        return 2 * self.output_downsampling


def read_sizes(tensors: dict[str, Tensor], pos_head_dim: int = 4) -> BackboneSizes:
    """Sizes of an icefall Zipformer transducer.

    Shapes do not tell the positional head dimension from the number of heads, so it is given; every
    published model has 4. Raises HraError where the tensors are not such a model's.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        stacks: list[StackSizes] = []
        while any(name.startswith(f"encoder.encoders.{len(stacks)}.") for name in shapes):
            stacks.append(_read_stack(shapes, f"encoder.encoders.{len(stacks)}.", pos_head_dim))
        if not stacks:
            raise KeyError("encoder.encoders.0")
        vocab_size, decoder_dim = shapes["decoder.embedding.weight"]
        conv = shapes.get("decoder.conv.weight", (decoder_dim, 4, 1))
        return BackboneSizes(
            stacks=stacks,
            output_downsampling=shapes["encoder.downsample_output.bias"][0],
            causal=any(".causal_conv." in name for name in shapes),
            decoder_dim=decoder_dim,
            decoder_group_size=conv[1],
            context_size=conv[2],
            joiner_dim=shapes["joiner.encoder_proj.weight"][0],
            vocab_size=vocab_size,
        )
    except KeyError as error:
        raise HraError(f"not an icefall Zipformer transducer: the tensor {error.args[0]} is missing") from error
    except (ValueError, IndexError) as error:
        raise HraError("not an icefall Zipformer transducer: a tensor has the wrong number of axes") from error


def _read_stack(shapes: dict[str, tuple[int, ...]], prefix: str, pos_head_dim: int) -> StackSizes:
    downsampling = shapes.get(prefix + "downsample.bias", (1,))[0]
    layers_prefix = prefix + ("layers." if downsampling == 1 else "encoder.layers.")
    indices = {
        int(match.group(1))
        for match in (re.match(re.escape(layers_prefix) + r"(\d+)\.", name) for name in shapes)
        if match
    }
    layer = layers_prefix + "0."
    pos_rows, pos_dim = shapes[layer + "self_attn_weights.linear_pos.weight"]
    value_rows = shapes[layer + "self_attn1.in_proj.weight"][0]
    weight_rows = shapes[layer + "self_attn_weights.in_proj.weight"][0]
    heads = pos_rows // pos_head_dim
    content_rows = weight_rows - pos_rows
    if heads == 0 or pos_rows % pos_head_dim or value_rows % heads or content_rows % (2 * heads):
        raise HraError(
            f"{layer}self_attn_weights: a positional head dimension of {pos_head_dim} does not fit rows of "
            f"linear_pos {pos_rows}, self_attn1.in_proj {value_rows}, self_attn_weights.in_proj {weight_rows}; "
            "give the value the model was trained with as pos_head_dim"
        )
    conv = layer + "conv_module1.depthwise_conv."
    kernel = shapes[conv + ("chunkwise_conv.weight" if conv + "weight" not in shapes else "weight")][-1]
    return StackSizes(
        layers=len(indices),
        downsampling=downsampling,
        width=shapes[layer + "norm.bias"][0],
        feedforward=shapes[layer + "feed_forward2.in_proj.weight"][0],
        heads=heads,
        query_head_dim=content_rows // (2 * heads),
        value_head_dim=value_rows // heads,
        pos_head_dim=pos_head_dim,
        pos_dim=pos_dim,
        kernel=kernel,
    )
