"""Log-probabilities of blank and of the next token from the joiner, without all of its logits in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import torch
from torch import Tensor

from hra_cli.nn.device import host_can_read
from hra_cli.nn.linear import linear
from hra_cli.transducer.blank import BLANK

# Logits computed at a time: on a CPU, as many as its cache holds; on a GPU, enough to keep it busy.
CHUNK_LOGITS = {"cpu": 2**20, "gpu": 2**26}
# Cells with a gradient below this are left out of sums: in float32 they would change nothing.
NEGLIGIBLE = 1e-10


class JoinerScores(torch.autograd.Function):
    """The joiner's scores of cells. A cell is a frame together with a history, the tokens before it.

    am (A, J), lm (B, J): frames and histories, projected to the joiner's width. weight (V, J), bias (V,): the joiner's
    output layer. frame, history (cells,): the rows of am and lm for each cell. token (cells,): the token to score.

    Returns the log-probabilities of each cell's token and of blank, two tensors (cells,). Logits are computed in
    chunks, and for the gradient once more, on a CPU only for cells that have one.
    """

    @staticmethod
    def forward(
        ctx: Any, am: Tensor, lm: Tensor, weight: Tensor, bias: Tensor, frame: Tensor, history: Tensor, token: Tensor
    ) -> tuple[Tensor, Tensor]:
        emit, blank, total = (am.new_empty(len(frame)) for _ in range(3))
        for part in _chunks(len(frame), weight):
            logits = linear(_hidden(am, lm, frame[part], history[part]), weight, bias)
            emit[part] = logits.gather(1, token[part].unsqueeze(1)).squeeze(1)
            blank[part] = logits[:, BLANK]
            highest = logits.amax(1, keepdim=True)
            total[part] = logits.sub_(highest).exp_().sum(1).log_().add_(highest.squeeze(1))
        ctx.save_for_backward(am, lm, weight, bias, frame, history, token, total)
        return emit.sub_(total), blank.sub_(total)

    @staticmethod
    def backward(ctx: Any, emit_grad: Tensor, blank_grad: Tensor) -> tuple[Optional[Tensor], ...]:
        am, lm, weight, bias, frame, history, token, total = ctx.saved_tensors
        grads = [
            torch.zeros_like(x) if needed else None for x, needed in zip((am, lm, weight, bias), ctx.needs_input_grad)
        ]
        am_grad, lm_grad, weight_grad, bias_grad = grads
        if host_can_read(am.device):
            chosen = (emit_grad.abs() + blank_grad.abs() > NEGLIGIBLE).nonzero().squeeze(1)
            emit_grad, blank_grad = emit_grad[chosen], blank_grad[chosen]
            frame, history, token, total = frame[chosen], history[chosen], token[chosen], total[chosen]
        for part in _chunks(len(frame), weight):
            f, h = frame[part], history[part]
            hidden = _hidden(am, lm, f, h)
            # The gradient of a token's log-probability by the logits: 1 for the token, less all tokens' probabilities.
            grad = linear(hidden, weight, bias).sub_(total[part].unsqueeze(1)).exp_()
            grad.mul_((emit_grad[part] + blank_grad[part]).neg_().unsqueeze(1))
            grad[:, BLANK] += blank_grad[part]
            grad.scatter_add_(1, token[part].unsqueeze(1), emit_grad[part].unsqueeze(1))
            if weight_grad is not None:
                weight_grad.addmm_(grad.t(), hidden)
            if bias_grad is not None:
                bias_grad += grad.sum(0)
            into = linear(grad, weight.t()).mul_(hidden.square_().neg_().add_(1.0))
            if am_grad is not None:
                am_grad.index_add_(0, f, into)
            if lm_grad is not None:
                lm_grad.index_add_(0, h, into)
        return (*grads, None, None, None)


def _hidden(am: Tensor, lm: Tensor, frame: Tensor, history: Tensor) -> Tensor:
    return am.index_select(0, frame).add_(lm.index_select(0, history)).tanh_()


def _chunks(cells: int, weight: Tensor) -> Iterator[slice]:
    numbers = CHUNK_LOGITS["cpu" if weight.device.type == "cpu" else "gpu"]
    size = max(64, numbers // weight.shape[0])
    return (slice(begin, begin + size) for begin in range(0, cells, size))
