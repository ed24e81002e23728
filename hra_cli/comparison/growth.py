"""Growth: how many parameters each method has in all, for more and more tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone, load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.baselines.build import between_layers, new_method
from hra_cli.baselines.methods import MAIN, Method, parse_method
from hra_cli.errors import MOST_SIZE, HraError, check_positive

# Methods whose parameters follow from the widths of the layers alone.
BETWEEN_LAYERS = ("residual-adapters", "hra-linear", "hra-ffn")
_MOST_LAYERS = 1000
_MOST_PARAMETERS = 2**27  # of one matrix in every layer: they are made to be counted
TASKS = (1, 10, 100, 128, 1000, 10_000)  # 128: the speakers of arXiv 2403.19709's atypical speech


@dataclass(frozen=True)
class Growth:
    """Parameters to store beside the frozen recogniser for so many tasks, by method."""

    tasks: tuple[int, ...]
    methods: dict[str, list[int]]


def growth(backbone: Backbone, methods: Sequence[Method], tasks: Sequence[int] = TASKS) -> Growth:
    """The growth of methods on a recogniser. Full fine-tuning stores a recogniser per task."""
    return _grown({method.label: new_method(method, backbone, ["task"], seed=0)[1] for method in methods}, tasks)


def growth_of_path(
    path: Path, methods: Optional[Sequence[Method]] = None, pos_head_dim: int = BackboneOptions.pos_head_dim
) -> Growth:
    """The growth of methods on the recogniser in a folder or checkpoint. methods: None for the main ones.

    Raises HraError as `load_backbone` does.
    """
    backbone = load_backbone(path, BackboneOptions(pos_head_dim=pos_head_dim, device="cpu"))
    return growth(backbone, _named(MAIN) if methods is None else methods)


def growth_of_sizes(
    width: int, num_layers: int, methods: Optional[Sequence[Method]] = None, tasks: Sequence[int] = TASKS
) -> Growth:
    """The growth of methods on an encoder of `num_layers` layers of `width` channels.

    methods: None for those that work between layers. Raises HraError for another method, for sizes that are not
    positive, and where the parameters would not fit into memory.
    """
    check_positive(MOST_SIZE, width=width)
    check_positive(_MOST_LAYERS, layers=num_layers)
    widths = {f"layers.{number}": width for number in range(num_layers)}
    chosen = _named(BETWEEN_LAYERS) if methods is None else methods
    for method in chosen:
        if width * num_layers * (method.size or 1) > _MOST_PARAMETERS:
            raise HraError(
                f"{method} on {num_layers} layers of {width} channels is too large to make; give less of one"
            )
    return _grown({method.label: between_layers(method, widths, ["task"], seed=0) for method in chosen}, tasks)


def _named(names: Sequence[str]) -> list[Method]:
    return [parse_method(name) for name in names]


def _grown(adapters: dict[str, TaskAdapter], tasks: Sequence[int]) -> Growth:
    found = {}
    for label, adapter in adapters.items():
        per_task, shared = adapter.parameters_per_task, adapter.parameters_shared
        if per_task == 0:
            per_task, shared = shared, 0
        found[label] = [shared + number * per_task for number in tasks]
    return Growth(tuple(tasks), found)
