"""The parts of a recogniser as modules that take and give nothing but tensors, with what sherpa-onnx calls these.

As sherpa-onnx has it, the encoder ends with the joiner's projection of its output, and the decoder with that of its
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor, nn

from hra_cli.backbone.frontend import embedded_lens
from hra_cli.backbone.model import Backbone
from hra_cli.backbone.stream_state import from_tensors, stream_axes
from hra_cli.data.features import NUM_MEL_BINS
from hra_cli.export.head_inputs import HeadInputs
from hra_cli.export.whole_pass import WholePass
from hra_cli.nn.frames import padding_mask

_BATCH = "N"
_EXAMPLE_BATCH = 2


@dataclass(frozen=True)
class GraphModule:
    """A module, and what its graph is to have.

    example: inputs to trace it with. inputs, outputs: their names. axes: by name, the axes that may have any length,
    with a name for that length.
    """

    module: nn.Module
    example: Sequence[Tensor]
    inputs: list[str]
    outputs: list[str]
    axes: dict[str, dict[int, str]]


def encoder_module(backbone: Backbone, heads: Optional[HeadInputs] = None) -> GraphModule:
    """The encoder, chunk by chunk where the recogniser's options say so, of whole utterances otherwise.

    heads: of what kind and sizes heads are; their parameters are the last inputs.
    """
    make = _whole if backbone.options.chunk_size is None else _chunks
    encoder = make(backbone, heads)
    if heads is None:
        return encoder
    return GraphModule(
        encoder.module,
        [*encoder.example, *heads.example(_EXAMPLE_BATCH)],
        encoder.inputs + heads.names,
        encoder.outputs,
        {**encoder.axes, **{name: {0: _BATCH} for name in heads.per_utterance}},
    )


def _whole(backbone: Backbone, heads: Optional[HeadInputs]) -> GraphModule:
    return GraphModule(
        _WholeEncoder(backbone, heads),
        [torch.randn(_EXAMPLE_BATCH, 103, NUM_MEL_BINS), torch.tensor([103, 71])],
        ["x", "x_lens"],
        ["encoder_out", "encoder_out_lens"],
        {
            "x": {0: _BATCH, 1: "T"},
            "x_lens": {0: _BATCH},
            "encoder_out": {0: _BATCH, 1: "T_out"},
            "encoder_out_lens": {0: _BATCH},
        },
    )


def _chunks(backbone: Backbone, heads: Optional[HeadInputs]) -> GraphModule:
    state = backbone.start(_EXAMPLE_BATCH)
    names = list(state.named())
    _, features = backbone.chunk_features
    axes = {}
    for name, axis in zip(names, stream_axes(len(state.layers))):
        axes[name] = axes[f"new_{name}"] = {axis: _BATCH}
    return GraphModule(
        _ChunkEncoder(backbone, heads, len(names)),
        [torch.randn(_EXAMPLE_BATCH, features, NUM_MEL_BINS), *state.tensors()],
        ["x", *names],
        ["encoder_out", *(f"new_{name}" for name in names)],
        {"x": {0: _BATCH}, "encoder_out": {0: _BATCH}, **axes},
    )


class _WholeEncoder(nn.Module):
    def __init__(self, backbone: Backbone, heads: Optional[HeadInputs]):
        super().__init__()
        self.backbone = backbone
        self.heads = heads

    def forward(self, x: Tensor, x_lens: Tensor, *of_heads: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, T, 80), x_lens (N,): (N, T', joiner_dim) and its lengths (N,)."""
        frames, lens = embedded_lens(x.shape[1]), embedded_lens(x_lens)
        after_layer = self.heads.after_layer(of_heads) if self.heads else None
        embedded = self.backbone.encoder_embed(x, padding_mask(lens, frames))
        run = WholePass(self.backbone.options, frames, lens, after_layer)
        encoded = self.backbone.encoder(embedded.transpose(0, 1), run).transpose(0, 1)
        lens = run.at_rate(self.backbone.sizes.output_downsampling).lens
        return self.backbone.joiner.encoder_proj(encoded), lens


class _ChunkEncoder(nn.Module):
    def __init__(self, backbone: Backbone, heads: Optional[HeadInputs], states: int):
        super().__init__()
        self.backbone = backbone
        self.heads = heads
        self.states = states

    def forward(self, x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """x (N, 2S + 13, 80) and a state's tensors: (N, S / 2, joiner_dim) and the new state's."""
        state = from_tensors(others[: self.states])
        after_layer = self.heads.after_layer(others[self.states :]) if self.heads else None
        encoded, following = self.backbone.encode_chunk(x, state, after_layer)
        return self.backbone.joiner.encoder_proj(encoded), *following.tensors()


def decoder_module(backbone: Backbone) -> GraphModule:
    """The prediction from the last tokens: y (N, context_size) int64 to decoder_out (N, joiner_dim)."""
    y = torch.zeros(_EXAMPLE_BATCH, backbone.sizes.context_size, dtype=torch.int64)
    return GraphModule(_Decoder(backbone), [y], ["y"], ["decoder_out"], _any_batch("y", "decoder_out"))


class _Decoder(nn.Module):
    def __init__(self, backbone: Backbone):
        super().__init__()
        self.decoder = backbone.decoder
        self.decoder_proj = backbone.joiner.decoder_proj

    def forward(self, y: Tensor) -> Tensor:
        return self.decoder_proj(self.decoder(y, need_pad=False)[:, 0])  # type: ignore[no-any-return]


def joiner_module(backbone: Backbone) -> GraphModule:
    """encoder_out and decoder_out, both (N, joiner_dim), to logit (N, vocab)."""
    example = torch.zeros(_EXAMPLE_BATCH, backbone.sizes.joiner_dim)
    names = ["encoder_out", "decoder_out"]
    return GraphModule(_Joiner(backbone), [example, example], names, ["logit"], _any_batch(*names, "logit"))


class _Joiner(nn.Module):
    def __init__(self, backbone: Backbone):
        super().__init__()
        self.joiner = backbone.joiner

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return self.joiner(encoder_out, decoder_out, project_input=False)  # type: ignore[no-any-return]


def _any_batch(*names: str) -> dict[str, dict[int, str]]:
    return {name: {0: _BATCH} for name in names}
