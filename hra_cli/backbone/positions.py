"""Relative positions: one row for every offset between two frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def relative_positions(first: int, last: int, dim: int, device: torch.device) -> Tensor:
    """The table of relative positions, (last - first + 1, dim) float32: a row for every offset from `first` to `last`.

    Offsets are compressed logarithmically, then mapped to an angle whose multiples' cosines and sines fill
    the columns; the last column is 1.
    """
    offset = torch.arange(first, last + 1, device=device, dtype=torch.float32)
    root = math.sqrt(dim)
    compressed = root * offset.sign() * ((offset.abs() + root).log() - math.log(root))
    angle = torch.atan(compressed * (2.0 * math.pi / dim)).unsqueeze(1)
    multiples = angle * torch.arange(1, dim // 2 + 1, device=device)
    table = torch.stack([multiples.cos(), multiples.sin()], dim=2).flatten(1)
    return torch.cat([table[:, :-1], torch.ones_like(angle)], dim=1)
