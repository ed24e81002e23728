"""Zipformer's convolution module, plain and causal (chunk-wise)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.backbone.activations import swoosh_r
from hra_cli.linear import Linear


class ChunkCausalConv(nn.Module):
    """Depthwise convolution over left context, plus one that sees only its own chunk.

    y = causal_conv(left context) + chunkwise_conv(within the chunk) · (1 + left edge + right edge), where the
    edge scales make up for what the chunk's borders hide.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.causal_conv = nn.Conv1d(width, width, (kernel + 1) // 2, groups=width)
        self.chunkwise_conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.chunkwise_conv_scale = nn.Parameter(torch.zeros(2, width, kernel))

    def forward(self, x: Tensor, chunk_size: Optional[int], ends: Tensor) -> Tensor:
        """x (N, C, T) zeroed past the utterances' ends; chunk_size in frames of this rate, None: one chunk.

        ends (N,) says where each utterance's last chunk may end at most: the edge scales of an utterance
        shorter than a chunk follow its own length, as if it were alone in the batch.
        """
        batch, width, num_frames = x.shape
        causal = self.causal_conv(F.pad(x, (self.kernel // 2, 0)))
        chunk = num_frames if chunk_size is None else min(chunk_size, num_frames)
        num_chunks = -(-num_frames // chunk)
        chunks = F.pad(x, (0, num_chunks * chunk - num_frames)).view(batch, width, num_chunks, chunk)
        chunks = chunks.transpose(1, 2).reshape(batch * num_chunks, width, chunk)
        chunks = self.chunkwise_conv(chunks).view(batch, num_chunks, width, chunk)
        within = chunks.transpose(1, 2).reshape(batch, width, num_chunks * chunk)[..., :num_frames]
        return causal + within * self._edge_scale(num_frames, chunk, ends)

    def _edge_scale(self, num_frames: int, chunk: int, ends: Tensor) -> Tensor:
        """(N, C, T), or (1, C, T) where all utterances share it."""
        lengths = ends.clamp(max=chunk)
        if bool((lengths == lengths[0]).all()):
            lengths = lengths[:1]
        position = torch.arange(num_frames, device=ends.device) % chunk
        left, right = F.pad(self.chunkwise_conv_scale, (0, 1))  # column `kernel` is the zero beyond the edges
        from_end = position - lengths.unsqueeze(1) + self.kernel
        outside = (from_end < 0) | (from_end >= self.kernel)
        scale = left[:, position.clamp(max=self.kernel)].unsqueeze(0)
        return 1.0 + scale + right[:, from_end.masked_fill(outside, self.kernel)].transpose(0, 1)


class ConvolutionModule(nn.Module):
    """Gate, depthwise convolution over time, SwooshR, projection."""

    def __init__(self, width: int, kernel: int, causal: bool):
        super().__init__()
        self.in_proj = Linear(width, 2 * width)
        self.depthwise_conv: nn.Module = (
            ChunkCausalConv(width, kernel)
            if causal
            else nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        )
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, padded: Optional[Tensor], chunk_size: Optional[int], ends: Tensor) -> Tensor:
        """x (T, N, C), padded (N, T) bool or None where nothing is padded: (T, N, C)."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = (x * gate.sigmoid()).permute(1, 2, 0)
        if padded is not None:
            x = x.masked_fill(padded.unsqueeze(1), 0.0)
        if isinstance(self.depthwise_conv, ChunkCausalConv):
            x = self.depthwise_conv(x, chunk_size, ends)
        else:
            x = self.depthwise_conv(x)
        return self.out_proj(swoosh_r(x.permute(2, 0, 1).contiguous()))
