"""How each method is put on a recogniser."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone
from hra_cli.baselines.ablations import controller_per_layer, head_per_layer, without_recurrence
from hra_cli.baselines.bitfit import bitfit
from hra_cli.baselines.full import FullFineTuning
from hra_cli.baselines.lora import lora
from hra_cli.baselines.methods import TOGETHER, Method, hra_kinds
from hra_cli.baselines.residual import ResidualAdapters
from hra_cli.errors import HraError

REACH_INSIDE = ("bitfit", "lora")


def new_method(
    method: Method, backbone: Backbone, tasks: Sequence[str], seed: int, common: bool = False
) -> tuple[Backbone, TaskAdapter]:
    """An untrained adapter by this method, which changes nothing until it is trained, and the backbone that it is for.

    That is the given one, or a copy where the method changes layers from inside. common: whether HRA has its head for
    tasks that have none, too.
    """
    name, _, part = method.name.partition("-")
    if name == "full":
        full = FullFineTuning(backbone, tasks, part or None)
        return full.model, full
    if _apart(method) in REACH_INSIDE:
        generator = torch.Generator().manual_seed(seed)
        size = method.size or 0
        hooked = bitfit(backbone, tasks) if method.name == "bitfit" else lora(backbone, tasks, size, generator)
        if method.name.endswith(TOGETHER):
            hooked.start_alike()
        return hooked.backbone, hooked
    return backbone, between_layers(method, backbone.layer_widths(), tasks, seed, common)


def between_layers(
    method: Method, layer_widths: dict[str, int], tasks: Sequence[str], seed: int, common: bool = False
) -> TaskAdapter:
    """An untrained adapter by a method that works between layers; layer_widths: channels by the layer's name.

    common: as for `new_method`. Raises HraError for a method that works inside of layers.
    """
    generator = torch.Generator().manual_seed(seed)
    widths, size = list(layer_widths.values()), method.size or 0
    if _apart(method) == "residual-adapters":
        adapters = ResidualAdapters(layer_widths, tasks, size, generator)
        if method.name.endswith(TOGETHER):
            adapters.start_alike()
        return adapters
    if method.name == "hra-no-recurrence":
        return without_recurrence(tasks, max(widths), size, seed)
    if method.name == "hra-apart":
        return new_adapter(tasks, max(widths), size, seed=seed)
    if method.name == "hra-controller-per-layer":
        return controller_per_layer(tasks, widths, size, generator)
    if method.name == "hra-head-per-layer":
        return head_per_layer(tasks, widths, size, generator)
    if method.name in hra_kinds():
        return new_adapter(tasks, max(widths), size, method.name.removeprefix("hra-"), size, seed, common=common)
    raise HraError(f"{method.name} does not sit between layers: it needs a recogniser, not only widths")


def _apart(method: Method) -> str:
    """The name of the method whose tasks do not begin alike."""
    return method.name.removesuffix(TOGETHER)
