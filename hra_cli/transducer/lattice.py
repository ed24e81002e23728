"""The transducer's lattice: the probability of all alignments together, and how often they take each arc.

Nodes (s, t) say that s tokens were emitted and t frames passed. From each of them an arc emits the next token and an
arc passes a frame, which is what blank means; a path leads from (0, 0) to (tokens, frames). A token takes no frame
("regular"), or takes the frame it is emitted on ("modified").
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Alignments(torch.autograd.Function):
    """emit, blank (N, S+1, T): log-probabilities of the arcs that leave each node; emit[:, S] has no meaning.
    tokens, frames (N,): where each utterance ends. regular: whether a token takes no frame.

    Returns the log-probability of all paths together, (N,), and the expected number of times that each arc of emit and
    of blank is taken, two tensors (N, S+1, T) in float64. These two are the gradient of the first; none flows through
    them.
    """

    @staticmethod
    def forward(
        ctx: Any, emit: Tensor, blank: Tensor, tokens: Tensor, frames: Tensor, regular: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        score, taken = _forward_backward(emit.detach(), blank.detach(), tokens, frames, regular)
        ctx.save_for_backward(*(arcs.to(emit.dtype) for arcs in taken))
        ctx.mark_non_differentiable(*taken)
        return (score, *taken)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Any, ...]:
        scale = grad.view(-1, 1, 1)
        return (*(scale * taken for taken in ctx.saved_tensors), None, None, None)


def _forward_backward(
    emit: Tensor, blank: Tensor, tokens: Tensor, frames: Tensor, regular: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    batch, rows, num_frames = emit.shape
    row = torch.arange(rows, device=emit.device).view(1, -1, 1)
    past_end = torch.arange(num_frames, device=emit.device) >= frames.view(-1, 1, 1)
    last = tokens.view(-1, 1, 1)
    # In float64: sums reach thousands, of which float32 keeps three digits after the point.
    emit_steps = _by_step(emit.double().masked_fill(past_end | (row >= last), -torch.inf), regular)
    blank_steps = _by_step(blank.double().masked_fill(past_end | (row > last), -torch.inf), regular)
    # An utterance that has ended waits for the longest.
    steps = torch.arange(emit_steps.shape[0], device=emit.device).view(-1, 1, 1)
    waits = (steps >= (frames + tokens if regular else frames).view(-1, 1)) & (row.view(1, 1, -1) == tokens.view(-1, 1))
    blank_steps.masked_fill_(waits, 0.0)

    # Backwards is forwards through the lattice turned round, so both run as one batch.
    turned_emit = emit_steps.flip(0, 2).roll(-1, 2)
    start = torch.full((2 * batch, rows), -torch.inf, dtype=torch.float64, device=emit.device)
    start[:batch, 0] = 0.0
    start[batch:].scatter_(1, (rows - 1 - tokens).view(-1, 1), 0.0)
    nodes = _sweep(
        start, torch.cat([emit_steps, turned_emit], dim=1), torch.cat([blank_steps, blank_steps.flip(0, 2)], dim=1)
    )
    before, after = nodes[:, :batch], nodes[:, batch:].flip(0, 2)
    score = before[-1].gather(1, tokens.view(-1, 1))

    through = before[:-1] - score
    emit_steps[..., :-1] += after[1:, :, 1:]
    blank_steps += after[1:]
    blank_steps.masked_fill_(waits, -torch.inf)
    emitted, passed = (
        _from_steps(arcs.add_(through).exp_(), num_frames, regular) for arcs in (emit_steps, blank_steps)
    )
    return score.squeeze(1).to(emit.dtype), (emitted, passed)


def _sweep(start: Tensor, emit: Tensor, blank: Tensor) -> Tensor:
    """start (N, S+1), emit and blank (D, N, S+1): log-probabilities (D+1, N, S+1) of reaching each node."""
    num_steps, batch, rows = emit.shape
    nodes = start.new_empty(num_steps + 1, batch, rows)
    nodes[0] = start
    emitted = start.new_full((batch, rows + 1), -torch.inf)  # shifted by one row, so that row 0 is reached by no token
    passed = torch.empty_like(start)
    # The views are made once, before the loop, whose steps are so small that overhead takes most of their time.
    into, arrived = emitted[:, 1:], emitted[:, :-1]
    for now, then, e, b in zip(nodes[:-1].unbind(), nodes[1:].unbind(), emit.unbind(), blank.unbind()):
        torch.add(now, e, out=into)
        torch.add(now, b, out=passed)
        torch.logaddexp(arrived, passed, out=then)
    return nodes


def _by_step(arcs: Tensor, regular: bool) -> Tensor:
    """arcs (N, S+1, T) in the order in which they can be taken, (D, N, S+1): by frame where every arc takes one, by
    tokens + frames otherwise."""
    if not regular:
        return arcs.permute(2, 0, 1).contiguous()
    batch, rows, num_frames = arcs.shape
    steps = num_frames + rows - 1
    skewed = arcs.new_full((batch, rows, steps), -torch.inf)
    skewed.as_strided(arcs.shape, (rows * steps, steps + 1, 1)).copy_(arcs)
    return skewed.permute(2, 0, 1).contiguous()


def _from_steps(arcs: Tensor, num_frames: int, regular: bool) -> Tensor:
    """The inverse of _by_step."""
    arcs = arcs.permute(1, 2, 0)
    if not regular:
        return arcs
    batch, rows, steps = arcs.shape
    return arcs.contiguous().as_strided((batch, rows, num_frames), (rows * steps, steps + 1, 1))
