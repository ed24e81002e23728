"""The pruned transducer loss without k2 (Kuang et al. 2022, arXiv 2206.13236)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.nn.device import host_can_read
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.joiner_scores import JoinerScores
from hra_cli.transducer.lattice import Alignments
from hra_cli.transducer.pruning import prune_ranges


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
    """The simple and the pruned loss of every utterance, two tensors (N,), in nats.

    encoder_out (N, T, C), of which each utterance has frames (N,); symbols (N, S), of which it has tokens (N,), padded
    with blank. lm_scale: the prediction network's share in smoothing the simple loss. prune_range: for how many token
    positions the joiner is computed at each frame.
    """
    decoder_out = backbone.decoder(F.pad(symbols, (1, 0), value=BLANK))
    following = F.pad(symbols, (0, 1), value=BLANK)  # the token after each history
    regular = rnnt_type == "regular"

    am, lm = backbone.simple_am_proj(encoder_out), backbone.simple_lm_proj(decoder_out)
    arcs = _constrained(*simple_scores(am, lm, following, lm_scale), rnnt_type)
    simple, emitted, passed = Alignments.apply(*arcs, tokens, frames, regular)

    first = prune_ranges(emitted, passed, tokens, frames, prune_range, regular)
    arcs = pruned_scores(backbone, encoder_out, decoder_out, following, first, tokens, frames, prune_range)
    pruned, _, _ = Alignments.apply(*_constrained(*arcs, rnnt_type), tokens, frames, regular)
    return -simple, -pruned


def _constrained(emit: Tensor, blank: Tensor, rnnt_type: str) -> tuple[Tensor, Tensor]:
    """In the constrained lattice a token is followed by blank, on its own frame."""
    if rnnt_type != "constrained":
        return emit, blank
    return emit + F.pad(blank[:, 1:], (0, 0, 0, 1)), blank


def simple_scores(am: Tensor, lm: Tensor, following: Tensor, lm_scale: float) -> tuple[Tensor, Tensor]:
    """The log-probabilities of the next token and of blank in the simple lattice, two tensors (N, S+1, T).

    am (N, T, V), lm (N, S+1, V): their sum is the logits. following (N, S+1): the next tokens. lm_scale: the share of
    what lm alone would give.
    """
    num_frames = am.shape[1]
    am_top, lm_top = am.detach().amax(2, keepdim=True), lm.detach().amax(2, keepdim=True)
    lm_exp = (lm - lm_top).exp()
    tiny = torch.finfo(am.dtype).tiny
    total = (torch.matmul(lm_exp, (am - am_top).exp().transpose(1, 2)) + tiny).log() + lm_top + am_top.transpose(1, 2)
    lm_total = lm_exp.sum(2).log() + lm_top.squeeze(2)

    lm_token = lm.gather(2, following.unsqueeze(2)).squeeze(2)
    am_token = am.gather(2, following.unsqueeze(1).expand(-1, num_frames, -1)).transpose(1, 2)
    scale = 1.0 - lm_scale
    emit = scale * (am_token - total) + (lm_token - lm_scale * lm_total).unsqueeze(2)
    blank = scale * (am[:, :, BLANK].unsqueeze(1) - total) + (lm[:, :, BLANK] - lm_scale * lm_total).unsqueeze(2)
    return emit, blank


def pruned_scores(
    backbone: Backbone,
    encoder_out: Tensor,
    decoder_out: Tensor,
    following: Tensor,
    first: Tensor,
    tokens: Tensor,
    frames: Tensor,
    prune_range: int,
) -> tuple[Tensor, Tensor]:
    """The joiner's log-probabilities of the next token and of blank, two tensors (N, S+1, T); -inf outside windows.

    encoder_out (N, T, C), decoder_out (N, S+1, D), following (N, S+1): the next tokens. first (N, T): where each
    frame's window of prune_range positions begins. tokens, frames (N,): of each utterance.
    """
    batch, num_frames = first.shape
    rows = following.shape[1]
    device = first.device
    position = first.unsqueeze(2) + torch.arange(min(prune_range, rows), device=device)
    utterance = torch.arange(batch, device=device).view(-1, 1, 1)
    time = torch.arange(num_frames, device=device).view(1, -1, 1)
    history = utterance * rows + position
    frame = (utterance * num_frames + time).expand_as(history)
    if host_can_read(device):
        exists = (time < frames.view(-1, 1, 1)) & (position <= tokens.view(-1, 1, 1))
        frame, history = frame[exists], history[exists]
    else:  # all of them: no path leads through those that do not exist
        frame, history = frame.flatten(), history.flatten()

    joiner = backbone.joiner
    scores = JoinerScores.apply(
        joiner.encoder_proj(encoder_out).flatten(0, 1),
        joiner.decoder_proj(decoder_out).flatten(0, 1),
        joiner.output_linear.weight,
        joiner.output_linear.bias,
        frame,
        history,
        following.flatten()[history],
    )
    cell = history * num_frames + frame % num_frames
    outside = encoder_out.new_full((batch * rows * num_frames,), -torch.inf)
    emit, blank = (outside.index_put((cell,), one).view(batch, rows, num_frames) for one in scores)
    return emit, blank
