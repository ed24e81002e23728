"""The Zipformer encoder in evaluation mode: layers, stacks at their own frame rates, and their combination."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.backbone.activations import BiasNorm, Bypass, swoosh_l
from hra_cli.backbone.attention import AttentionWeights, NonlinAttention, SelfAttention, relative_positions
from hra_cli.backbone.convolution import ConvolutionModule
from hra_cli.backbone.sizes import StackSizes
from hra_cli.frames import in_groups, padding_mask, repeat_last_frame, upsample
from hra_cli.linear import Linear


class Layer(NamedTuple):
    """Where in the encoder an `after_layer` callable stands."""

    name: str  # as in the checkpoint, e.g. "encoders.1.encoder.layers.0"
    width: int  # channels
    downsampling: int  # frames of 20 ms per frame here
    lens: Tensor  # (N,) frames of each utterance at this rate


AfterLayer = Callable[[Tensor, Layer], Tensor]


class Streaming(NamedTuple):
    """How much a causal model may see, in frames of 20 ms; None: everything."""

    chunk_size: Optional[int]
    left_context_frames: Optional[int]


class Surroundings(NamedTuple):
    """What all layers of a stack share for one batch."""

    ends: Tensor  # (N,) as ChunkCausalConv has it
    positions: Tensor  # (2T - 1, pos_dim)
    padded: Optional[Tensor]  # (N, T) or None
    masked: Optional[Tensor]  # broadcastable to (N, T, T) or None
    chunk_size: Optional[int]


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.in_proj = Linear(width, hidden)
        self.out_proj = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(swoosh_l(self.in_proj(x)))


class EncoderLayer(nn.Module):
    """One Zipformer layer; attention weights are computed once and used four times."""

    def __init__(self, sizes: StackSizes, causal: bool):
        super().__init__()
        width, ff = sizes.width, sizes.feedforward
        self.self_attn_weights = AttentionWeights(
            width, sizes.heads, sizes.query_head_dim, sizes.pos_head_dim, sizes.pos_dim
        )
        self.self_attn1 = SelfAttention(width, sizes.heads, sizes.value_head_dim)
        self.self_attn2 = SelfAttention(width, sizes.heads, sizes.value_head_dim)
        self.feed_forward1 = FeedForward(width, ff * 3 // 4)
        self.feed_forward2 = FeedForward(width, ff)
        self.feed_forward3 = FeedForward(width, ff * 5 // 4)
        self.nonlin_attention = NonlinAttention(width, width * 3 // 4)
        self.conv_module1 = ConvolutionModule(width, sizes.kernel, causal)
        self.conv_module2 = ConvolutionModule(width, sizes.kernel, causal)
        self.bypass_mid = Bypass(width)
        self.bypass = Bypass(width)
        self.norm = BiasNorm(width)

    def forward(self, src: Tensor, around: Surroundings) -> Tensor:
        """src (T, N, C): (T, N, C)."""
        convolution = (around.padded, around.chunk_size, around.ends)
        weights = self.self_attn_weights(src, around.positions, around.masked)
        x = src + self.feed_forward1(src)
        x = x + self.nonlin_attention(x, weights)
        x = x + self.self_attn1(x, weights)
        x = x + self.conv_module1(x, *convolution)
        x = x + self.feed_forward2(x)
        x = self.bypass_mid(src, x)
        x = x + self.self_attn2(x, weights)
        x = x + self.conv_module2(x, *convolution)
        x = x + self.feed_forward3(x)
        return self.bypass(src, self.norm(x))


class Downsample(nn.Module):
    """Each group of frames becomes its average, weighted by softmax(bias)."""

    def __init__(self, factor: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor, lens: Tensor, icefall_padding: bool) -> Tensor:
        """x (T, N, C): (ceil(T / factor), N, C). Utterances are extended by their own last frame."""
        if not icefall_padding:
            x = repeat_last_frame(x, lens)
        groups = in_groups(x, self.bias.numel())
        return (groups * self.bias.softmax(0).view(1, -1, 1, 1)).sum(dim=1)


class Stack(nn.Module):
    """Layers of one width at one frame rate."""

    def __init__(self, sizes: StackSizes, causal: bool):
        super().__init__()
        self.sizes = sizes
        layers = nn.ModuleList(EncoderLayer(sizes, causal) for _ in range(sizes.layers))
        if sizes.downsampling == 1:
            self.layers = layers
        else:
            self.downsample = Downsample(sizes.downsampling)
            self.encoder = nn.ModuleDict({"layers": layers})
            self.out_combiner = Bypass(sizes.width)

    def forward(
        self,
        x: Tensor,
        lens: Tensor,
        name: str,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
    ) -> Tensor:
        """x (T, N, C) at 50 Hz: the same shape."""
        factor = self.sizes.downsampling
        if factor == 1:
            return self._run_layers(x, lens, name, self.layers, streaming, after_layer, icefall_padding)
        down = self.downsample(x, lens, icefall_padding)
        lens = (lens + factor - 1) // factor
        layers = self.encoder["layers"]
        down = self._run_layers(down, lens, f"{name}.encoder", layers, streaming, after_layer, icefall_padding)
        return self.out_combiner(x, upsample(down, factor)[: x.shape[0]])

    def _run_layers(
        self,
        x: Tensor,
        lens: Tensor,
        name: str,
        layers: nn.Module,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
    ) -> Tensor:
        around = self._surroundings(x, lens, streaming, icefall_padding)
        assert isinstance(layers, nn.ModuleList)
        for index, layer in enumerate(layers):
            x = layer(x, around)
            if after_layer is not None:
                x = after_layer(x, Layer(f"{name}.layers.{index}", self.sizes.width, self.sizes.downsampling, lens))
        return x

    def _surroundings(self, x: Tensor, lens: Tensor, streaming: Streaming, icefall_padding: bool) -> Surroundings:
        num_frames = x.shape[0]
        padded = None if bool((lens >= num_frames).all()) else padding_mask(lens, num_frames)
        masked = None if padded is None else padded.unsqueeze(1)
        chunk = streaming.chunk_size
        if chunk is not None:
            outside = _outside_chunks(
                num_frames, self.sizes.downsampling, chunk, streaming.left_context_frames, x.device
            )
            masked = outside if masked is None else masked | outside
        ends = torch.full_like(lens, num_frames) if icefall_padding else lens
        return Surroundings(
            ends=ends,
            positions=relative_positions(num_frames, self.sizes.pos_dim, x.device),
            padded=padded,
            masked=masked,
            chunk_size=None if chunk is None else chunk // self.sizes.downsampling,
        )


def _outside_chunks(
    num_frames: int, downsampling: int, chunk_size: int, left_context: Optional[int], device: torch.device
) -> Tensor:
    """(T, T) bool, True where target t may not see source s."""
    chunk = torch.arange(num_frames, device=device) * downsampling // chunk_size
    target, source = chunk.unsqueeze(1), chunk.unsqueeze(0)
    outside = source > target
    if left_context is not None:
        outside |= source < target - left_context // chunk_size
    return outside


def convert_channels(x: Tensor, width: int) -> Tensor:
    """The leading `width` channels, zero-padded where x has fewer."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


class ZipformerEncoder(nn.Module):
    def __init__(self, stacks: list[StackSizes], output_downsampling: int, causal: bool):
        super().__init__()
        self.widths = [sizes.width for sizes in stacks]
        self.encoders = nn.ModuleList(Stack(sizes, causal) for sizes in stacks)
        self.downsample_output = Downsample(output_downsampling)

    def forward(
        self,
        x: Tensor,
        lens: Tensor,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
    ) -> Tensor:
        """x (T, N, C0) at 50 Hz: (ceil(T / 2), N, max width)."""
        outputs = []
        for index, stack in enumerate(self.encoders):
            x = convert_channels(x, self.widths[index])
            x = stack(x, lens, f"encoders.{index}", streaming, after_layer, icefall_padding)
            outputs.append(x)
        return self.downsample_output(self._full_width(outputs), lens, icefall_padding)

    def _full_width(self, outputs: list[Tensor]) -> Tensor:
        """Each channel from the most recent stack wide enough to have it."""
        pieces: list[Tensor] = []
        done = 0
        for output in reversed(outputs):
            if output.shape[-1] > done:
                pieces.append(output[..., done:])
                done = output.shape[-1]
        return torch.cat(pieces, dim=-1)
