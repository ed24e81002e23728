"""The pruned transducer loss, through k2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hra_cli.backbone import Backbone
from hra_cli.errors import HraError, did_you_mean
from hra_cli.transducer.k2_library import import_k2

RNNT_TYPES = ("regular", "modified", "constrained")
BLANK = 0

# The scales of icefall's recipes.
LM_SCALE = 0.25
AM_SCALE = 0.0
SIMPLE_LOSS_SCALE = 0.5
PRUNE_RANGE = 5


@dataclass
class Loss:
    """simple and pruned, (N,) by utterance, or () as sums; `total` is 0.5 · simple + pruned."""

    simple: Tensor
    pruned: Tensor

    @property
    def total(self) -> Tensor:
        return SIMPLE_LOSS_SCALE * self.simple + self.pruned

    def sum(self) -> Loss:
        """Over the batch."""
        return Loss(self.simple.sum(), self.pruned.sum())


def check_rnnt_type(rnnt_type: str) -> None:
    if rnnt_type not in RNNT_TYPES:
        raise HraError(f"no such --rnnt-type: '{rnnt_type}'{did_you_mean(rnnt_type, RNNT_TYPES)}")


def pruned_loss(
    backbone: Backbone,
    encoder_out: Tensor,
    encoder_out_lens: Tensor,
    tokens: list[list[int]],
    rnnt_type: str = "regular",
) -> Loss:
    """encoder_out (N, T, C), encoder_out_lens (N,), tokens of each utterance without blank: the loss by
    utterance.

    Every utterance must have at least as many frames as tokens.
    """
    k2 = import_k2()
    device = encoder_out.device
    lens = torch.tensor([len(utterance) for utterance in tokens], device=device)
    boundary = torch.zeros(len(tokens), 4, dtype=torch.int64, device=device)
    boundary[:, 2] = lens
    boundary[:, 3] = encoder_out_lens
    symbols = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(utterance, dtype=torch.int64, device=device) for utterance in tokens],
        batch_first=True,
        padding_value=BLANK,
    )
    history = torch.nn.functional.pad(symbols, (1, 0), value=BLANK)
    decoder_out = backbone.decoder(history)

    am = backbone.simple_am_proj(encoder_out)
    lm = backbone.simple_lm_proj(decoder_out)
    simple, (px_grad, py_grad) = k2.rnnt_loss_smoothed(
        lm=lm,
        am=am,
        symbols=symbols,
        termination_symbol=BLANK,
        lm_only_scale=LM_SCALE,
        am_only_scale=AM_SCALE,
        boundary=boundary,
        rnnt_type=rnnt_type,
        reduction="none",
        return_grad=True,
    )
    ranges = k2.get_rnnt_prune_ranges(px_grad=px_grad, py_grad=py_grad, boundary=boundary, s_range=PRUNE_RANGE)
    am_pruned, lm_pruned = k2.do_rnnt_pruning(
        am=backbone.joiner.encoder_proj(encoder_out),
        lm=backbone.joiner.decoder_proj(decoder_out),
        ranges=ranges,
    )
    logits = backbone.joiner(am_pruned, lm_pruned, project_input=False)
    pruned = k2.rnnt_loss_pruned(
        logits=logits,
        symbols=symbols,
        ranges=ranges,
        termination_symbol=BLANK,
        boundary=boundary,
        rnnt_type=rnnt_type,
        reduction="none",
    )
    return Loss(simple, pruned)


def fits(num_frames: int, num_tokens: int) -> bool:
    """Whether an utterance of so many encoder frames (25 Hz) can emit its tokens, one a frame at most."""
    return num_frames >= max(num_tokens, 1)
