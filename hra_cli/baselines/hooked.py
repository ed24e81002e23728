"""Methods that reach inside layers: a copy of the recogniser whose modules' outputs are changed, per utterance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from torch import Tensor, nn

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone


class Change(nn.Module):
    """How one module's output is changed. Parameters are (tasks, …); inputs and output are (N, …), N utterances."""

    def forward(self, inputs: Tensor, output: Tensor, index: Tensor) -> Tensor:
        """index (N,): which task each utterance is of. Returns the new output."""
        raise NotImplementedError


class Hooked(TaskAdapter):
    """A copy of `backbone` in which outputs of modules are changed, `changes` by the module's name.

    The backbone given stays as it is.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[str], changes: dict[str, Change]):
        super().__init__(tasks)
        self.changes = nn.ModuleDict({name.replace(".", "-"): change for name, change in changes.items()})
        self._index: Optional[Tensor] = None
        # In a list, so that the frozen weights are not this module's parameters.
        self._backbone = [backbone.copy(in_blocks=False)]  # so that modules see a batch utterance by utterance
        modules = dict(self.backbone.named_modules())
        for name, change in changes.items():
            modules[name].register_forward_hook(self._hook(change))

    @property
    def backbone(self) -> Backbone:
        """The copy; it must encode what is adapted."""
        return self._backbone[0]

    def _hook(self, change: Change):  # type: ignore[no-untyped-def]
        def changed(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            index = self._index
            assert index is not None
            if output.dim() > 2:
                return change(inputs[0], output, index)
            # In the encoder frames are rows, utterance by utterance.
            before, after = (x.reshape(len(index), -1, x.shape[1]) for x in (inputs[0], output))
            return change(before, after, index).flatten(0, 1)

        return changed

    def for_tasks(self, tasks: Sequence[str]) -> None:
        """Makes the next `encode` of `backbone` one for these tasks. Raises HraError for an unknown one."""
        self._index = self.index(tasks)

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())
