"""Zipformer's convolution module, plain and causal (chunk-wise)."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hra_cli.backbone.activations import swoosh_r
from hra_cli.backbone.forward_pass import Pass
from hra_cli.nn.linear import Linear


def depthwise(x: Tensor, weight: Tensor, bias: Optional[Tensor], padding: tuple[int, ...]) -> Tensor:
    """Convolves each channel of x (N, C, …) with its own kernel, weight (C, 1, …) and bias (C,): (N, C, …).

    padding: zeros at either end of each axis after the channels.
    """
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)  # autocast does not
    if torch.jit.is_tracing() or weight.requires_grad or (bias is not None and bias.requires_grad):
        return torch.ops.aten.convolution(x, weight, bias, *_options(padding), len(weight))
    return _FrozenDepthwise.apply(x, weight, bias, padding)


def _options(padding: tuple[int, ...]) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding, as aten::convolution wants them."""
    ones = [1] * len(padding)
    return ones, list(padding), ones, False, [0] * len(padding)


class _FrozenDepthwise(torch.autograd.Function):
    """Depthwise convolution with frozen kernels. torch's own keeps its input for the kernels' gradient all the same."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Optional[Tensor], padding: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.stride, ctx.padding = x.shape, x.stride(), padding
        return torch.ops.aten.convolution(x, weight, bias, *_options(padding), len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], ...]:
        (weight,) = ctx.saved_tensors
        like_x = grad.new_empty_strided(ctx.shape, ctx.stride)  # only its shape and strides are read
        x_grad, _, _ = torch.ops.aten.convolution_backward(
            grad, like_x, weight, None, *_options(ctx.padding), len(weight), [True, False, False]
        )
        return x_grad, None, None, None


class PlainDepthwiseConv1d(nn.Conv1d):
    """Depthwise convolution over time: (N, C, T) to (N, C, T')."""

    def __init__(self, width: int, kernel: int, padding: int = 0):
        super().__init__(width, width, kernel, padding=padding, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight, self.bias, (int(self.padding[0]),))


class DepthwiseConv1d(PlainDepthwiseConv1d):
    """Depthwise convolution over time that keeps the length: (N, C, T) to (N, C, T).

    Computed in two dimensions, with the channels of a frame beside each other in memory, which is many times as fast.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__(width, kernel, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2).contiguous().unsqueeze(1).permute(0, 3, 1, 2)  # (N, C, 1, T), channels last
        return depthwise(x, self.weight.unsqueeze(2), self.bias, (0, int(self.padding[0]))).squeeze(2)


class Chunks(NamedTuple):
    """How a causal convolution divides the frames of some utterances."""

    size: int  # frames of a chunk
    first: Tensor  # (n,) frames of each utterance's first chunk, or (1,) where they are as many in all of them


class ChunkCausalConv(nn.Module):
    """Depthwise convolution over left context, plus one that sees only its own chunk.

    y = causal_conv(left context) + chunkwise_conv(within the chunk) · (1 + left edge + right edge), where the
    edge scales make up for what the chunk's borders hide.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.causal_conv = PlainDepthwiseConv1d(width, (kernel + 1) // 2)
        self.chunkwise_conv = PlainDepthwiseConv1d(width, kernel, kernel // 2)
        self.chunkwise_conv_scale = nn.Parameter(torch.zeros(2, width, kernel))

    @property
    def left_context(self) -> int:
        """Frames before the first that the causal part sees."""
        return self.kernel // 2

    def forward(self, x: Tensor, chunks: Chunks, after_left: Optional[Tensor] = None) -> Tensor:
        """x (N, C, T), zero past the utterances' ends, and how its frames are divided: (N, C, T).

        after_left (N, C, left_context + T): x after the frames that came before it; by default after zeros.
        """
        causal = self.causal_conv(F.pad(x, (self.left_context, 0)) if after_left is None else after_left)
        return causal + self._within(x, chunks.size) * self._edge_scale(x.shape[2], chunks)

    def _within(self, x: Tensor, chunk: int) -> Tensor:
        """chunkwise_conv of each chunk by itself, (N, C, T)."""
        batch, width, num_frames = x.shape
        num_chunks = -(-num_frames // chunk)
        chunks = F.pad(x, (0, num_chunks * chunk - num_frames)).view(batch, width, num_chunks, chunk)
        chunks = chunks.transpose(1, 2).reshape(batch * num_chunks, width, chunk)
        chunks = self.chunkwise_conv(chunks).view(batch, num_chunks, width, chunk)
        return chunks.transpose(1, 2).reshape(batch, width, num_chunks * chunk)[..., :num_frames]

    def _edge_scale(self, num_frames: int, chunks: Chunks) -> Tensor:
        """(N, C, T), or (1, C, T) where all utterances share it. An utterance shorter than a chunk has its right edge
        where it ends, as if it were alone in the batch."""
        position = torch.arange(num_frames, device=chunks.first.device) % chunks.size
        left, right = F.pad(self.chunkwise_conv_scale, (0, 1))  # column `kernel` is the zero beyond the edges
        from_end = position - chunks.first.unsqueeze(1) + self.kernel
        outside = (from_end < 0) | (from_end >= self.kernel)
        scale = left[:, position.clamp(max=self.kernel)].unsqueeze(0)
        return 1.0 + scale + right[:, from_end.masked_fill(outside, self.kernel)].transpose(0, 1)


class ConvolutionModule(nn.Module):
    """Gate, depthwise convolution over time, SwooshR, projection."""

    def __init__(self, width: int, kernel: int, causal: bool):
        super().__init__()
        self.in_proj = Linear(width, 2 * width)
        self.depthwise_conv: nn.Module = ChunkCausalConv(width, kernel) if causal else DepthwiseConv1d(width, kernel)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (…, C): (…, C)."""
        return self.out_proj(swoosh_r(run.convolved(F.glu(self.in_proj(x)), self.depthwise_conv)))
