"""Relative positions: one row for every offset between two frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def relative_positions(num_frames: int, dim: int, device: torch.device) -> Tensor:
    """The table of relative positions, (2T - 1, dim) float32; row 0 is the offset -(T - 1).

    Offsets are compressed logarithmically, then mapped to an angle whose multiples' cosines and sines fill
    the columns; the last column is 1.
    """
    offset = torch.arange(-(num_frames - 1), num_frames, device=device, dtype=torch.float32)
    root = math.sqrt(dim)
    compressed = root * offset.sign() * ((offset.abs() + root).log() - math.log(root))
    angle = torch.atan(compressed * (2.0 * math.pi / dim)).unsqueeze(1)
    multiples = torch.arange(1, dim // 2 + 1, device=device)
    table = torch.empty(2 * num_frames - 1, dim, device=device)
    table[:, 0::2] = (angle * multiples).cos()
    table[:, 1::2] = (angle * multiples).sin()
    table[:, -1] = 1.0
    return table
