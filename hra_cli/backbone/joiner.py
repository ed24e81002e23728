"""The joiner: logits from an encoder frame and a prediction."""

from __future__ import annotations

from torch import Tensor, nn

from hra_cli.nn.linear import Linear


class Joiner(nn.Module):
    """output_linear(tanh(encoder_proj(encoder_out) + decoder_proj(decoder_out)))."""

    def __init__(self, encoder_dim: int, decoder_dim: int, joiner_dim: int, vocab_size: int):
        super().__init__()
        self.encoder_proj = Linear(encoder_dim, joiner_dim)
        self.decoder_proj = Linear(decoder_dim, joiner_dim)
        self.output_linear = Linear(joiner_dim, vocab_size)

    def forward(self, encoder_out: Tensor, decoder_out: Tensor, project_input: bool = True) -> Tensor:
        """Broadcastable (…, encoder_dim) and (…, decoder_dim): (…, vocab).

        With project_input=False both are (…, joiner_dim) already.
        """
        if project_input:
            encoder_out = self.encoder_proj(encoder_out)
            decoder_out = self.decoder_proj(decoder_out)
        return self.output_linear((encoder_out + decoder_out).tanh())
