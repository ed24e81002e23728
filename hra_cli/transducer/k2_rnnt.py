"""The pruned transducer loss through k2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, stack, zeros_like

from hra_cli.backbone.model import Backbone
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.k2_library import import_k2


def simple_and_pruned(
    backbone: Backbone,
    encoder_out: Tensor,
    frames: Tensor,
    symbols: Tensor,
    tokens: Tensor,
    rnnt_type: str,
    lm_scale: float,
    prune_range: int,
) -> tuple[Tensor, Tensor]:
    """As in pruned_rnnt.py, by k2's functions. k2 refuses a batch without any token. Raises HraError without k2."""
    k2 = import_k2()
    boundary = stack([zeros_like(tokens), zeros_like(tokens), tokens, frames], dim=1)
    decoder_out = backbone.decoder(F.pad(symbols, (1, 0), value=BLANK))
    simple, (px_grad, py_grad) = k2.rnnt_loss_smoothed(
        lm=backbone.simple_lm_proj(decoder_out),
        am=backbone.simple_am_proj(encoder_out),
        symbols=symbols,
        termination_symbol=BLANK,
        lm_only_scale=lm_scale,
        am_only_scale=0.0,
        boundary=boundary,
        rnnt_type=rnnt_type,
        reduction="none",
        return_grad=True,
    )
    ranges = k2.get_rnnt_prune_ranges(px_grad=px_grad, py_grad=py_grad, boundary=boundary, s_range=prune_range)
    am_pruned, lm_pruned = k2.do_rnnt_pruning(
        am=backbone.joiner.encoder_proj(encoder_out), lm=backbone.joiner.decoder_proj(decoder_out), ranges=ranges
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
    return simple, pruned
