"""Full fine-tuning: a copy of the whole recogniser, in which every parameter is trained, or every one of a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from torch import nn

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone

# By the names of parameters: to see where in the recogniser it is that tasks differ.
PARTS = {
    "front-end": ("encoder_embed.",),
    "encoder": ("encoder.",),
    "transducer": ("decoder.", "joiner.", "simple_am_proj.", "simple_lm_proj."),
}


class FullFineTuning(TaskAdapter):
    """One model that all its tasks share; nothing is per task. part: one of PARTS, the rest of it is frozen; None: all
    of it is trained."""

    def __init__(self, backbone: Backbone, tasks: Sequence[str], part: Optional[str] = None):
        super().__init__(tasks)
        self.model = backbone.copy()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(part is None or name.startswith(PARTS[part]))

    def for_tasks(self, tasks: Sequence[str]) -> None:
        self.index(tasks)

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return {}

    @property
    def parameters_shared(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
