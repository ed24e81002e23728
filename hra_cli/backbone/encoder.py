"""The Zipformer encoder in evaluation mode: layers, stacks at their own frame rates, and their combination.

x is frames (…, C) throughout, as the pass has them. What modules need to know of the batch is in `run`, the pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hra_cli.backbone.activations import BiasNorm, Bypass, swoosh_l
from hra_cli.backbone.attention import AttentionWeights, NonlinAttention, SelfAttention
from hra_cli.backbone.convolution import ConvolutionModule
from hra_cli.backbone.forward_pass import Pass
from hra_cli.backbone.sizes import StackSizes
from hra_cli.nn.linear import Linear


class FeedForward(nn.Module):
    """Projection to `hidden` channels, SwooshL, projection back: (…, C) to (…, C)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.in_proj = Linear(width, hidden)
        self.out_proj = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(swoosh_l(self.in_proj(x)))


class EncoderLayer(nn.Module):
    """One Zipformer layer; attention weights are computed once and used four times."""

    def __init__(self, sizes: StackSizes, causal: bool, name: str):
        super().__init__()
        self.name = name  # as in the checkpoint
        self.width = width = sizes.width
        ff = sizes.feedforward
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

    def forward(self, src: Tensor, run: Pass) -> Tensor:
        """src (…, C): (…, C)."""
        weights = self.self_attn_weights(src, run)
        x = src + self.feed_forward1(src)
        x = x + self.nonlin_attention(x, weights, run)
        x = x + self.self_attn1(x, weights, run)
        x = x + self.conv_module1(x, run)
        x = x + self.feed_forward2(x)
        x = self.bypass_mid(src, x)
        x = x + self.self_attn2(x, weights, run)
        x = x + self.conv_module2(x, run)
        x = x + self.feed_forward3(x)
        return self.bypass(src, self.norm(x))


class Stack(nn.Module):
    """Layers of one width at one frame rate."""

    def __init__(self, sizes: StackSizes, causal: bool, name: str):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(sizes, causal, f"{name}.layers.{n}") for n in range(sizes.layers))

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (…, C): (…, C)."""
        for layer in self.layers:
            if run.options.recompute and torch.is_grad_enabled():
                # Only the layer's input stays in memory for the gradient. Nothing in a layer is random.
                x = checkpoint(layer, x, run, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, run)
            x = run.adapted(x, layer.name)
        return x


class Downsample(nn.Module):
    """Each group of frames becomes its average, weighted by softmax(bias)."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (…, C): the frames at the lower rate. Utterances are extended by their own last frame."""
        return run.downsampled(x, self.bias.softmax(0))


class DownsampledStack(nn.Module):
    """A stack that sees a lower frame rate, mixed with what went in."""

    def __init__(self, sizes: StackSizes, causal: bool, name: str):
        super().__init__()
        self.downsample = Downsample(sizes.downsampling)
        self.encoder = Stack(sizes, causal, f"{name}.encoder")
        self.out_combiner = Bypass(sizes.width)

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (…, C): (…, C)."""
        factor = self.downsample.factor
        down = self.encoder(self.downsample(x, run), run.at_rate(factor))
        return self.out_combiner(x, run.upsampled(down, factor))


class ZipformerEncoder(nn.Module):
    """All stacks, one after the other, and their outputs combined and downsampled."""

    def __init__(self, stacks: list[StackSizes], output_downsampling: int, causal: bool):
        super().__init__()
        self.widths = [sizes.width for sizes in stacks]
        self.encoders = nn.ModuleList(
            (Stack if sizes.downsampling == 1 else DownsampledStack)(sizes, causal, f"encoders.{n}")
            for n, sizes in enumerate(stacks)
        )
        self.downsample_output = Downsample(output_downsampling)

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (…, C0) at 50 Hz: (…, max width) at 25 Hz."""
        outputs = []
        for width, stack in zip(self.widths, self.encoders):
            x = stack(convert_channels(x, width), run)
            outputs.append(x)
        return self.downsample_output(full_width(outputs), run)


def convert_channels(x: Tensor, width: int) -> Tensor:
    """x (…, C) with its first `width` channels, and zeros where it has fewer: (…, width)."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def full_width(outputs: list[Tensor]) -> Tensor:
    """The stacks' outputs (…, C) as one, (…, max C): each channel from the last stack that has it."""
    pieces: list[Tensor] = []
    done = 0
    for output in reversed(outputs):
        if output.shape[-1] > done:
            pieces.append(output[..., done:])
            done = output.shape[-1]
    return torch.cat(pieces, dim=-1)
