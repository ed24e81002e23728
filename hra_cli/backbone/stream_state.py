"""What the encoder remembers of streams between two chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hra_cli.backbone.frontend import REACH
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.sizes import BackboneSizes, StackSizes


class LayerState(NamedTuple):
    """One layer's, by icefall's names and in its shapes; zero at a stream's start.

    F frames of left context at the layer's rate, N streams, H heads, C channels, K the convolutions' kernel.
    """

    cached_key: Tensor  # (F, N, H · query_head_dim)
    cached_nonlin_attn: Tensor  # (1, N, F, ¾ C)
    cached_val1: Tensor  # (F, N, H · value_head_dim)
    cached_val2: Tensor  # (F, N, H · value_head_dim)
    cached_conv1: Tensor  # (N, C, K // 2)
    cached_conv2: Tensor  # (N, C, K // 2)


_LAYER_AXES = [1, 1, 1, 1, 0, 0]  # of the streams, in every tensor of a layer


@dataclass(frozen=True)
class StreamState:
    """N streams between two chunks, each independent of the others.

    layers: of every encoder layer, in their order. embed_states (N, 128, 3, 19): the front end's. processed_lens (N,)
    int64: frames of 20 ms so far.
    """

    layers: list[LayerState]
    embed_states: Tensor
    processed_lens: Tensor

    def __len__(self) -> int:
        return len(self.processed_lens)

    def named(self) -> dict[str, Tensor]:
        """All tensors by the names that icefall's exports have, in their order."""
        return dict(zip(state_names(len(self.layers)), self.tensors()))

    def tensors(self) -> Iterator[Tensor]:
        """All tensors, in the order of `named`."""
        for layer in self.layers:
            yield from layer
        yield self.embed_states
        yield self.processed_lens

    def split(self) -> list[StreamState]:
        """Every stream by itself. As copies, or a stream that waits would keep all the others' memory."""
        if len(self) == 1:
            return [self]
        parts = [tensor.split(1, dim) for tensor, dim in zip(self.tensors(), stream_axes(len(self.layers)))]
        return [from_tensors([tensor.clone() for tensor in own]) for own in zip(*parts)]


def join(states: Sequence[StreamState]) -> StreamState:
    """The streams of several states in one, in their order."""
    if len(states) == 1:
        return states[0]
    dims = stream_axes(len(states[0].layers))
    return from_tensors([torch.cat(own, dim) for own, dim in zip(zip(*(s.tensors() for s in states)), dims)])


def from_tensors(tensors: Sequence[Tensor]) -> StreamState:
    """The state with these tensors, in the order of `named`."""
    size = len(LayerState._fields)
    *of_layers, embed_states, processed_lens = tensors
    layers = [LayerState(*of_layers[start : start + size]) for start in range(0, len(of_layers), size)]
    return StreamState(layers, embed_states, processed_lens)


def state_names(layers: int) -> list[str]:
    """The names of the tensors of a state, as icefall's exports have them."""
    names = [f"{field}_{layer}" for layer in range(layers) for field in LayerState._fields]
    return [*names, "embed_states", "processed_lens"]


def stream_axes(layers: int) -> list[int]:
    """Of every tensor of a state, the axis of its streams."""
    return _LAYER_AXES * layers + [0, 0]


def new_streams(sizes: BackboneSizes, options: BackboneOptions, streams: int, device: torch.device) -> StreamState:
    """The state of so many streams before their first chunk; options say how much left context they see."""
    assert options.left_context_frames is not None
    layers = [
        _new_layer(stack, options.left_context_frames // stack.downsampling, streams, device)
        for stack in sizes.stacks
        for _ in range(stack.layers)
    ]
    embed = torch.zeros(streams, 128, REACH, 19, device=device)
    return StreamState(layers, embed, torch.zeros(streams, dtype=torch.int64, device=device))


def _new_layer(sizes: StackSizes, left: int, streams: int, device: torch.device) -> LayerState:
    query, value, convolved = sizes.heads * sizes.query_head_dim, sizes.heads * sizes.value_head_dim, sizes.kernel // 2
    return LayerState(
        cached_key=torch.zeros(left, streams, query, device=device),
        cached_nonlin_attn=torch.zeros(1, streams, left, sizes.width * 3 // 4, device=device),
        cached_val1=torch.zeros(left, streams, value, device=device),
        cached_val2=torch.zeros(left, streams, value, device=device),
        cached_conv1=torch.zeros(streams, sizes.width, convolved, device=device),
        cached_conv2=torch.zeros(streams, sizes.width, convolved, device=device),
    )
