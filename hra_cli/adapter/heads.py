"""Banks of heads: one small head per task, shared by every layer (arXiv 2403.19709).

A bank holds the heads of many tasks, and applies to every utterance of a batch the head of its own task. Head
parameters have the width D of the widest layer; a layer of width d is written with their first d rows.
"""

from __future__ import annotations

from typing import Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (h (T, N, H), d) -> o (T, N, d), for the utterances of one batch
ApplyHeads = Callable[[Tensor, int], Tensor]


class HeadBank(nn.Module):
    """Parameters stacked over tasks, (tasks, …). The last projection starts at zero, and so the head at nothing."""

    kind: str
    inner: int = 0

    def gather(self, index: Tensor) -> ApplyHeads:
        """index (N,): which head each utterance of a batch has."""
        raise NotImplementedError

    @staticmethod
    def _of(index: Tensor, *parameters: Tensor) -> list[Tensor]:
        """Each parameter's rows for the utterances; by index_select, since the gradient of parameter[index] adds up in
        the order in which threads happen to run."""
        return [parameter.index_select(0, index) for parameter in parameters]

    def tensors(self, index: int) -> dict[str, Tensor]:
        """One head's parameters under the names that head files use."""
        return {
            f"head.{name.replace('_', '.')}": parameter.detach()[index] for name, parameter in self.named_parameters()
        }

    def load(self, index: int, tensors: dict[str, Tensor]) -> None:
        """Sets one head's parameters from `tensors`, named as in head files."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter[index] = tensors[f"head.{name.replace('_', '.')}"]

    @property
    def parameters_per_task(self) -> int:
        return sum(parameter[0].numel() for parameter in self.parameters())


class LinearHeads(HeadBank):
    """o_l = M_n h_l + c_n."""

    kind = "linear"

    def __init__(self, tasks: int, width: int, hidden: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tasks, width, hidden))
        self.bias = nn.Parameter(torch.zeros(tasks, width))

    def gather(self, index: Tensor) -> ApplyHeads:
        weight, bias = self._of(index, self.weight, self.bias)
        return lambda h, width: project(h, weight[:, :width], bias[:, :width])


class FfnHeads(HeadBank):
    """o_l = M2_n ReLU(M1_n h_l + c1_n) + c2_n."""

    kind = "ffn"

    def __init__(self, tasks: int, width: int, hidden: int, inner: int, generator: Optional[torch.Generator] = None):
        super().__init__()
        self.inner = inner
        # The same for all, since heads learn from each other.
        in_weight = torch.randn(1, inner, hidden, generator=generator) * hidden**-0.5
        self.in_weight = nn.Parameter(in_weight.repeat(tasks, 1, 1))
        self.in_bias = nn.Parameter(torch.zeros(tasks, inner))
        self.out_weight = nn.Parameter(torch.zeros(tasks, width, inner))
        self.out_bias = nn.Parameter(torch.zeros(tasks, width))

    def gather(self, index: Tensor) -> ApplyHeads:
        parameters = self.in_weight, self.in_bias, self.out_weight, self.out_bias
        in_weight, in_bias, out_weight, out_bias = self._of(index, *parameters)
        return lambda h, width: project(
            F.relu(project(h, in_weight, in_bias)), out_weight[:, :width], out_bias[:, :width]
        )


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (T, N, I), weight (N, O, I), bias (N, O): (T, N, O), each utterance with its own weight."""
    return torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)
