"""Padded batches of frames: masks, and moving between frame rates.

All tensors are time-major, (T, N, C); an utterance's own frames are the first `lens[n]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hra_cli.nn.device import host_can_read


def padding_mask(lens: Tensor, num_frames: int) -> Tensor:
    """(N, T) bool, True where a frame lies past the end of its utterance."""
    return torch.arange(num_frames, device=lens.device) >= lens.unsqueeze(1)


def repeat_last_frame(x: Tensor, lens: Tensor) -> Tensor:
    """x (T, N, C) with every frame past an utterance's end replaced by that utterance's last frame; lens (N,)."""
    num_frames = x.shape[0]
    if not torch.jit.is_tracing() and host_can_read(lens.device) and bool((lens >= num_frames).all()):
        return x
    # Indexed, since gather would keep all of x for its gradient.
    last = x[(lens - 1).clamp(min=0), torch.arange(x.shape[1], device=lens.device)]
    return torch.where(padding_mask(lens, num_frames).t().unsqueeze(2), last, x)


def in_groups(x: Tensor, size: int) -> Tensor:
    """x (T, N, C) as (ceil(T / size), size, N, C); the last group is filled by repeating the last frame."""
    num_frames, batch, width = x.shape
    if torch.jit.is_tracing():  # an exported graph does not know how many are missing: at most size - 1
        x = torch.cat([x, x[-1:].expand(size - 1, batch, width)])
        return x[: (num_frames + size - 1) // size * size].reshape(-1, size, batch, width)
    missing = -num_frames % size
    if missing:
        x = torch.cat([x, x[-1:].expand(missing, batch, width)])
    return x.reshape(-1, size, batch, width)


def weighted_groups(x: Tensor, weights: Tensor) -> Tensor:
    """x (T, N, C) with every group of frames summed by weights (size,): (ceil(T / size), N, C)."""
    return (in_groups(x, len(weights)) * weights.view(1, -1, 1, 1)).sum(dim=1)


def upsample(x: Tensor, factor: int) -> Tensor:
    """x (T, N, C) with every frame repeated `factor` times: (T · factor, N, C)."""
    num_frames, batch, width = x.shape
    return x.unsqueeze(1).expand(-1, factor, -1, -1).reshape(num_frames * factor, batch, width)
