"""The parameters of heads and their controller as inputs of a graph, under the names that head files use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Optional

import torch
from torch import Tensor

from hra_cli.adapter.adapter import Adapter, AdapterPass
from hra_cli.adapter.controller import next_state
from hra_cli.adapter.task_adapter import AfterLayer
from hra_cli.transducer.adapted import AdaptedModel


class HeadInputs:
    """Heads of one kind and size, whose parameters a graph is given: a head for every utterance, (N, …) each, and one
    controller for all of them.

    A graph in which these parameters are constants is that of one task; its head is (1, …), and serves all utterances.
    """

    def __init__(self, adapter: Adapter):
        """adapter: of the same kind and sizes."""
        self._bank = adapter.bank
        self._controller = adapter.controller
        self.per_utterance = list(self._bank.tensors(0))
        self.names = [*self.per_utterance, *self._controller.tensors()]

    def example(self, utterances: int) -> list[Tensor]:
        """Inputs for so many utterances."""
        heads = [torch.stack([tensor] * utterances) for tensor in self._bank.tensors(0).values()]
        return [*heads, *self._controller.tensors().values()]

    def after_layer(self, tensors: Sequence[Tensor]) -> AfterLayer:
        """What applies the heads in one forward pass. tensors: in the order of `names`."""
        heads = list(tensors[: len(self.per_utterance)])
        weight, recurrent, bias = tensors[len(heads) :]
        controller = partial(next_state, weight=weight, recurrent=recurrent, bias=bias)
        return AdapterPass(controller, self._bank.applying(heads))


def constants_of(adapter: Adapter, task: str) -> dict[str, Tensor]:
    """The parameters that make the graph of all tasks that of `task`, by their names.

    Raises HraError for a task without a head, and for a head that cannot be applied.
    """
    (row,) = adapter.rows([task])
    heads = {name: tensor.clone().unsqueeze(0) for name, tensor in adapter.bank.tensors(row).items()}
    return {**heads, **adapter.controller.tensors()}


def adapter_of(model: AdaptedModel) -> Optional[Adapter]:
    """The heads of a model that `load_recogniser` has made."""
    assert model.adapter is None or isinstance(model.adapter, Adapter)
    return model.adapter
