"""A recogniser's sizes, read from the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    shapes = _Shapes(tensors)
    causal = any(".causal_conv." in name for name in tensors)
    stacks: list[StackSizes] = []
    while not stacks or shapes.has(f"encoder.encoders.{len(stacks)}."):
        stacks.append(_read_stack(shapes, len(stacks), pos_head_dim, causal))
    vocab_size, decoder_dim = shapes.of("decoder.embedding.weight", 2)
    group_size, context_size = 4, 1
    if shapes.has("decoder.conv."):
        _, group_size, context_size = shapes.of("decoder.conv.weight", 3)
    sizes = BackboneSizes(
        stacks=stacks,
        output_downsampling=shapes.of("encoder.downsample_output.bias", 1)[0],
        causal=causal,
        decoder_dim=decoder_dim,
        decoder_group_size=group_size,
        context_size=context_size,
        joiner_dim=shapes.of("joiner.encoder_proj.weight", 2)[0],
        vocab_size=vocab_size,
    )
    if context_size > 1 and decoder_dim % group_size:
        raise HraError(f"{_NOT}: {decoder_dim} channels of the decoder do not divide into groups of {group_size}")
    _check(shapes, sizes)
    return sizes


_NOT = "not an icefall Zipformer transducer"


class _Shapes:
    """The shapes of a checkpoint's tensors."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def has(self, prefix: str) -> bool:
        """Whether a tensor's name begins so."""
        return any(name.startswith(prefix) for name in self._shapes)

    def layers(self, prefix: str) -> int:
        """How many layers have a tensor below `prefix`."""
        pattern = re.compile(re.escape(prefix) + r"([0-9]+)\.")
        return len({match.group(1) for match in map(pattern.match, self._shapes) if match})

    def of(self, name: str, axes: int) -> tuple[int, ...]:
        """A tensor's shape. Raises HraError where it is missing, empty, or has another number of axes."""
        if name not in self._shapes:
            raise HraError(f"{_NOT}: the tensor {name} is missing")
        shape = self._shapes[name]
        if len(shape) != axes or 0 in shape:
            raise HraError(f"{_NOT}: {name} has shape {shape}, which should have {axes} axes and be empty in none")
        return shape

    def check(self, name: str, expected: tuple[int, ...]) -> None:
        """Raises HraError where a tensor has another shape."""
        if self.of(name, len(expected)) != expected:
            raise HraError(f"{_NOT}: {name} has shape {self._shapes[name]}, the others ask for {expected}")


def _check(shapes: _Shapes, sizes: BackboneSizes) -> None:
    """Raises HraError where large tensors contradict the sizes, before memory is taken for what is not there."""
    for number, stack in enumerate(sizes.stacks):
        heads, width = stack.heads, stack.width
        for layer in range(stack.layers):
            prefix = f"{_layers_of(number, stack.downsampling)}{layer}."
            attention = heads * (2 * stack.query_head_dim + stack.pos_head_dim)
            shapes.check(prefix + "self_attn_weights.in_proj.weight", (attention, width))
            shapes.check(prefix + "self_attn_weights.linear_pos.weight", (heads * stack.pos_head_dim, stack.pos_dim))
            shapes.check(prefix + "self_attn1.in_proj.weight", (heads * stack.value_head_dim, width))
            shapes.check(prefix + "feed_forward2.in_proj.weight", (stack.feedforward, width))
            shapes.check(prefix + "conv_module1.in_proj.weight", (2 * width, width))
            shapes.check(prefix + _kernel_name(sizes.causal), (width, 1, stack.kernel))
    shapes.check("joiner.encoder_proj.weight", (sizes.joiner_dim, sizes.width))
    shapes.check("joiner.decoder_proj.weight", (sizes.joiner_dim, sizes.decoder_dim))
    shapes.check("joiner.output_linear.weight", (sizes.vocab_size, sizes.joiner_dim))
    shapes.check("simple_am_proj.weight", (sizes.vocab_size, sizes.width))
    shapes.check("simple_lm_proj.weight", (sizes.vocab_size, sizes.decoder_dim))


def _layers_of(stack: int, downsampling: int) -> str:
    return f"encoder.encoders.{stack}." + ("layers." if downsampling == 1 else "encoder.layers.")


def _kernel_name(causal: bool) -> str:
    return "conv_module1.depthwise_conv." + ("chunkwise_conv.weight" if causal else "weight")


def _read_stack(shapes: _Shapes, number: int, pos_head_dim: int, causal: bool) -> StackSizes:
    bias = f"encoder.encoders.{number}.downsample.bias"
    downsampling = shapes.of(bias, 1)[0] if shapes.has(bias) else 1
    layers = _layers_of(number, downsampling)
    layer = layers + "0."
    pos_rows, pos_dim = shapes.of(layer + "self_attn_weights.linear_pos.weight", 2)
    value_rows = shapes.of(layer + "self_attn1.in_proj.weight", 2)[0]
    weight_rows = shapes.of(layer + "self_attn_weights.in_proj.weight", 2)[0]
    heads = pos_rows // pos_head_dim
    content_rows = weight_rows - pos_rows
    if heads == 0 or pos_rows % pos_head_dim or value_rows % heads or content_rows % (2 * heads) or content_rows <= 0:
        raise HraError(
            f"{layer}self_attn_weights: a positional head dimension of {pos_head_dim} does not fit rows of "
            f"linear_pos {pos_rows}, self_attn1.in_proj {value_rows}, self_attn_weights.in_proj {weight_rows}; "
            "give the value the model was trained with as pos_head_dim"
        )
    kernel = shapes.of(layer + _kernel_name(causal), 3)[2]
    if kernel % 2 == 0 or pos_dim % 2:
        raise HraError(f"{_NOT}: {layer} has a kernel of {kernel} frames and {pos_dim} dimensions of position")
    return StackSizes(
        layers=shapes.layers(layers),
        downsampling=downsampling,
        width=shapes.of(layer + "norm.bias", 1)[0],
        feedforward=shapes.of(layer + "feed_forward2.in_proj.weight", 2)[0],
        heads=heads,
        query_head_dim=content_rows // (2 * heads),
        value_head_dim=value_rows // heads,
        pos_head_dim=pos_head_dim,
        pos_dim=pos_dim,
        kernel=kernel,
    )
