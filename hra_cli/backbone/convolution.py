"""Zipformer's convolution module, plain and causal (chunk-wise)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.backbone.activations import swoosh_r
from hra_cli.backbone.rows import Rows
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


class DepthwiseConv1d(nn.Conv1d):
    """Over time, each channel by itself: (N, C, T) to (N, C, T).

    As a two-dimensional convolution whose channels lie beside each other in memory, which is many times as fast.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2).contiguous().unsqueeze(1).permute(0, 3, 1, 2)  # (N, C, 1, T), channels last
        x = F.conv2d(x, self.weight.unsqueeze(2), self.bias, padding=(0, self.kernel_size[0] // 2), groups=self.groups)
        return x.squeeze(2)


class ConvolutionModule(nn.Module):
    """Gate, depthwise convolution over time, SwooshR, projection."""

    def __init__(self, width: int, kernel: int, causal: bool):
        super().__init__()
        self.in_proj = Linear(width, 2 * width)
        self.depthwise_conv: nn.Module = ChunkCausalConv(width, kernel) if causal else DepthwiseConv1d(width, kernel)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, rows: Rows, chunk_size: Optional[int], ends: list[Tensor]) -> Tensor:
        """x (F, C): (F, C). chunk_size and, of every block, ends as ChunkCausalConv has them."""
        x = F.glu(self.in_proj(x))
        if rows.padded is not None:
            x = x.masked_fill_(rows.padded, 0.0)
        pieces = []
        for piece, end in zip(rows.split(x), ends):
            piece = piece.transpose(1, 2)
            if isinstance(self.depthwise_conv, ChunkCausalConv):
                piece = self.depthwise_conv(piece, chunk_size, end)
            else:
                piece = self.depthwise_conv(piece)
            pieces.append(piece.transpose(1, 2))
        return self.out_proj(swoosh_r(rows.join(pieces)))
