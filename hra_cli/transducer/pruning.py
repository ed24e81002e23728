"""Pruning bounds: which few token positions are worth the joiner at each frame (arXiv 2206.13236, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def prune_ranges(
    emitted: Tensor, passed: Tensor, tokens: Tensor, frames: Tensor, prune_range: int, regular: bool
) -> Tensor:
    """emitted, passed (N, S+1, T): how often each arc of the simple lattice is taken, float64; tokens, frames (N,).

    Returns the first position of each frame's window, (N, T). Windows have min(prune_range, S+1) positions. They begin
    at 0, never go back, leave no position out, and cover the last position at the last frame.
    """
    rows, num_frames = passed.shape[1:]
    size = min(prune_range, rows)
    # What a window misses: that positions before or after it are left by blank, and that its first one is reached on
    # this frame. k2 looks for what it holds, which is the same; but of windows that hold nearly all, rounding decides.
    missed = F.pad(passed.cumsum(1), (0, 0, 1, 0))[:, : rows - size + 1]
    missed = missed + F.pad(passed.flip(1).cumsum(1).flip(1), (0, 0, 0, 1))[:, size:]
    missed[:, 1:] += emitted[:, : rows - size]
    first = missed.argmin(dim=1)
    frame = torch.arange(num_frames, device=first.device)
    last = (tokens - size + 1).clamp(min=0).unsqueeze(1)
    first = torch.where(frame < frames.unsqueeze(1) - 1, first, last)

    first = first.flip(1).cummin(1).values.flip(1)
    # From one frame to the next a window moves by less than its size; by one at most where a token takes a frame.
    slope = frame * (size - 1 if regular else 1)
    ahead: Tensor = (first - slope).flip(1).cummax(1).values.flip(1)
    return slope + ahead.clamp(max=0)
