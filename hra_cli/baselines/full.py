"""Full fine-tuning: a copy of the whole recogniser, in which every parameter is trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone


class FullFineTuning(TaskAdapter):
    """One model that all its tasks share; nothing is per task."""

    def __init__(self, backbone: Backbone, tasks: Sequence[str]):
        super().__init__(tasks)
        self.model = backbone.copy().requires_grad_(True)

    def for_tasks(self, tasks: Sequence[str]) -> None:
        self.index(tasks)

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return {}
