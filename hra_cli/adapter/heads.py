"""Banks of heads: one small head per task, shared by every layer (arXiv 2403.19709).

A bank holds the heads of many tasks, and applies to every utterance of a batch the head of its own task. Head
parameters have the width D of the widest layer; a layer of width d is written with their first d rows.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.adapter.head_kinds import HeadSizes, head_kind

# (h (T, N, H), d) -> o (T, N, d), for the N utterances of one batch and a layer of width d
ApplyHeads = Callable[[Tensor, int], Tensor]


class HeadBank(nn.Module):
    """The heads of `tasks` tasks: parameters stacked over tasks, (tasks, …), with the names and shapes of their kind.

    All start at zero but what `start` sets. The last projection must be left at zero: an untrained head does nothing.
    """

    def __init__(self, kind: str, tasks: int, sizes: HeadSizes, generator: Optional[torch.Generator] = None):
        super().__init__()
        self.kind = kind
        self.sizes = sizes
        self._kind = head_kind(kind)
        self._attributes = {name: name.replace(".", "_") for name in self._kind.tensors}
        for name, shape in self._kind.shapes(sizes).items():
            self.register_parameter(self._attributes[name], nn.Parameter(torch.zeros(tasks, *shape)))
        with torch.no_grad():
            self.start(generator)

    def start(self, generator: Optional[torch.Generator]) -> None:
        """Sets what does not start at zero: the same for all tasks, since heads learn from each other."""

    def gather(self, index: Tensor) -> ApplyHeads:
        """What applies the heads to one batch. index (N,): the row of each utterance's head."""
        return self.applying(self.select(index))

    def applying(self, heads: list[Tensor]) -> ApplyHeads:
        """What applies the heads with these parameters, each (N, …), in the order of the kind's tensors."""
        raise NotImplementedError

    def select(self, index: Tensor) -> list[Tensor]:
        """The parameters of the heads at `index` (N,), each (N, …), in the order of the kind's tensors.

        By index_select: the gradient of parameter[index] is summed in the order in which threads happen to run.
        """
        return [parameter.index_select(0, index) for parameter in self.parameters()]

    @property
    def pull_scale(self) -> float:
        """√(H / 64): o_l sums over the H elements of h_l, so steps of the same length in every parameter move it about
        so much further than with H = 64, for which the pull was chosen."""
        return math.sqrt(self.sizes.hidden / 64)

    @property
    def parameters_per_task(self) -> int:
        """Parameters of one head."""
        return self._kind.num_parameters(self.sizes)

    def matrices(self) -> list[nn.Parameter]:
        """The parameters that hold a matrix per task, (tasks, R, C)."""
        return [getattr(self, self._attributes[name]) for name, axes in self._kind.tensors.items() if len(axes) == 2]

    def tensors(self, row: int) -> dict[str, Tensor]:
        """One head's parameters under the names that head files use."""
        return {f"head.{name}": getattr(self, attribute).detach()[row] for name, attribute in self._attributes.items()}

    def load(self, row: int, tensors: dict[str, Tensor]) -> None:
        """Sets one head's parameters from `tensors`, named as in head files."""
        with torch.no_grad():
            for name, attribute in self._attributes.items():
                getattr(self, attribute)[row] = tensors[f"head.{name}"]


class LinearHeads(HeadBank):
    """o_l = M_n h_l + c_n."""

    def applying(self, heads: list[Tensor]) -> ApplyHeads:
        weight, bias = heads
        return lambda h, width: project(h, weight[:, :width], bias[:, :width])


class FfnHeads(HeadBank):
    """o_l = M2_n ReLU(M1_n h_l + c1_n) + c2_n."""

    in_weight: nn.Parameter

    def start(self, generator: Optional[torch.Generator]) -> None:
        shape = self.in_weight.shape[1:]
        self.in_weight.copy_(torch.randn(1, *shape, generator=generator) * shape[1] ** -0.5)

    def applying(self, heads: list[Tensor]) -> ApplyHeads:
        in_weight, in_bias, out_weight, out_bias = heads
        return lambda h, width: project(
            F.relu(project(h, in_weight, in_bias)), out_weight[:, :width], out_bias[:, :width]
        )


def new_bank(kind: str, tasks: int, sizes: HeadSizes, generator: Optional[torch.Generator] = None) -> HeadBank:
    """Untrained heads of `tasks` tasks. Raises HraError for a kind that is not known."""
    module, _, name = head_kind(kind).bank.partition(":")
    bank: type[HeadBank] = getattr(import_module(module), name)
    return bank(kind, tasks, sizes, generator)


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (T, N, I), weight (N, O, I), bias (N, O): (T, N, O), each utterance with its own weight."""
    return torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)
