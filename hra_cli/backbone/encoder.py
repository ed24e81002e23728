"""The Zipformer encoder in evaluation mode: layers, stacks at their own frame rates, and their combination."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hra_cli.backbone.activations import BiasNorm, Bypass, swoosh_l
from hra_cli.backbone.attention import AttentionWeights, NonlinAttention, SelfAttention, relative_positions
from hra_cli.backbone.convolution import ConvolutionModule
from hra_cli.backbone.rows import Rows
from hra_cli.backbone.sizes import StackSizes
from hra_cli.nn.frames import in_groups, repeat_last_frame, upsample
from hra_cli.nn.linear import Linear


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

    rows: Rows
    positions: Tensor  # (2T - 1, pos_dim) for the longest block
    masked: list[Optional[Tensor]]  # of every block: broadcastable to (n, T, T) or None
    ends: list[Tensor]  # of every block: (n,) as ChunkCausalConv has it
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
        """src (F, C): (F, C)."""
        rows = around.rows
        convolution = (rows, around.chunk_size, around.ends)
        weights = self.self_attn_weights(src, rows, around.positions, around.masked)
        x = src + self.feed_forward1(src)
        x = x + self.nonlin_attention(x, rows, weights)
        x = x + self.self_attn1(x, rows, weights)
        x = x + self.conv_module1(x, *convolution)
        x = x + self.feed_forward2(x)
        x = self.bypass_mid(src, x)
        x = x + self.self_attn2(x, rows, weights)
        x = x + self.conv_module2(x, *convolution)
        x = x + self.feed_forward3(x)
        return self.bypass(src, self.norm(x))


class Downsample(nn.Module):
    """Each group of frames becomes its average, weighted by softmax(bias)."""

    def __init__(self, factor: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor, rows: Rows, icefall_padding: bool) -> Tensor:
        """x (F, C): the rows at the lower rate. Utterances are extended by their own last frame."""
        weights = self.bias.softmax(0).view(1, -1, 1, 1)
        pieces = []
        for block, piece in zip(rows.blocks, rows.split(x)):
            piece = piece.transpose(0, 1)
            if not icefall_padding:
                piece = repeat_last_frame(piece, block.lens)
            pieces.append((in_groups(piece, self.bias.numel()) * weights).sum(dim=1).transpose(0, 1))
        return rows.join(pieces)


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
        rows: Rows,
        name: str,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
        recompute: bool,
    ) -> Tensor:
        """x (F, C), rows at 50 Hz: the same shape."""
        factor = self.sizes.downsampling
        if factor == 1:
            return self._run_layers(x, rows, name, self.layers, streaming, after_layer, icefall_padding, recompute)
        down = self.downsample(x, rows, icefall_padding)
        slow = rows.at_rate(factor)
        layers = self.encoder["layers"]
        down = self._run_layers(
            down, slow, f"{name}.encoder", layers, streaming, after_layer, icefall_padding, recompute
        )
        pieces = [
            upsample(piece.transpose(0, 1), factor)[: block.frames].transpose(0, 1)
            for block, piece in zip(rows.blocks, slow.split(down))
        ]
        return self.out_combiner(x, rows.join(pieces))

    def _run_layers(
        self,
        x: Tensor,
        rows: Rows,
        name: str,
        layers: nn.Module,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
        recompute: bool,
    ) -> Tensor:
        around = self._surroundings(rows, streaming, icefall_padding)
        assert isinstance(layers, nn.ModuleList)
        for index, layer in enumerate(layers):
            if recompute and torch.is_grad_enabled():
                # Nothing in a layer is random.
                x = checkpoint(layer, x, around, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, around)
            if after_layer is not None:
                here = Layer(f"{name}.layers.{index}", self.sizes.width, self.sizes.downsampling, rows.lens)
                x = rows.from_batch(after_layer(rows.to_batch(x), here))
        return x

    def _surroundings(self, rows: Rows, streaming: Streaming, icefall_padding: bool) -> Surroundings:
        chunk, device = streaming.chunk_size, rows.lens.device
        masked = [None if block.padded is None else block.padded.unsqueeze(1) for block in rows.blocks]
        if chunk is not None:
            outside = _outside_chunks(
                rows.frames, self.sizes.downsampling, chunk, streaming.left_context_frames, device
            )
            for n, block in enumerate(rows.blocks):
                own, padded = outside[: block.frames, : block.frames], masked[n]
                masked[n] = own if padded is None else padded | own
        return Surroundings(
            rows=rows,
            positions=relative_positions(rows.frames, self.sizes.pos_dim, device),
            masked=masked,
            ends=[torch.full_like(b.lens, b.frames) if icefall_padding else b.lens for b in rows.blocks],
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
        rows: Rows,
        streaming: Streaming,
        after_layer: Optional[AfterLayer],
        icefall_padding: bool,
        recompute: bool = False,
    ) -> Tensor:
        """x (F, C0), rows at 50 Hz: (F', max width), rows at 25 Hz.

        recompute: keep of a layer's activations its input alone, and compute the rest again for the gradient.
        """
        outputs = []
        for index, stack in enumerate(self.encoders):
            x = convert_channels(x, self.widths[index])
            x = stack(x, rows, f"encoders.{index}", streaming, after_layer, icefall_padding, recompute)
            outputs.append(x)
        return self.downsample_output(self._full_width(outputs), rows, icefall_padding)

    def _full_width(self, outputs: list[Tensor]) -> Tensor:
        """Each channel from the most recent stack wide enough to have it."""
        pieces: list[Tensor] = []
        done = 0
        for output in reversed(outputs):
            if output.shape[-1] > done:
                pieces.append(output[..., done:])
                done = output.shape[-1]
        return torch.cat(pieces, dim=-1)
