"""The stateless prediction network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Decoder(nn.Module):
    """Embedding of the last `context_size` tokens, grouped convolution, ReLU."""

    def __init__(self, vocab_size: int, dim: int, context_size: int, group_size: int):
        super().__init__()
        self.context_size = context_size
        self.embedding = nn.Embedding(vocab_size, dim)
        if context_size > 1:
            self.conv = nn.Conv1d(dim, dim, context_size, groups=dim // group_size, bias=False)

    def forward(self, tokens: Tensor, need_pad: bool = True) -> Tensor:
        """tokens (N, U) int64, negative ids standing for zero vectors: (N, U, dim).

        With need_pad=False the tokens bring their own context: (N, U - context_size + 1, dim).
        """
        x = self.embedding(tokens.clamp(min=0)) * (tokens >= 0).unsqueeze(2)
        if self.context_size == 1:
            return x
        x = x.transpose(1, 2)
        if need_pad:
            x = F.pad(x, (self.context_size - 1, 0))
        return F.relu(self.conv(x).transpose(1, 2))
