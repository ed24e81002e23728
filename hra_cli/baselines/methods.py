"""The methods by name: their sizes, the learning rates to try, and how each is put on a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import torch

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone
from hra_cli.baselines.ablations import apart, controller_per_layer, head_per_layer, without_recurrence
from hra_cli.baselines.bitfit import bitfit
from hra_cli.baselines.full import FullFineTuning
from hra_cli.baselines.lora import lora
from hra_cli.baselines.residual import ResidualAdapters
from hra_cli.errors import HraError, did_you_mean


@dataclass(frozen=True)
class Kind:
    """title: as tables show it, with the size's name. size: the default, None where the method has none.
    lrs: the peaks of the learning rate that `hra compare` tries."""

    title: str
    size: Optional[int]
    lrs: tuple[float, ...]


_HRA_RATES = (0.004, 0.008)
KINDS = {
    "full": Kind("full fine-tuning", None, (0.0003, 0.0006)),
    "bitfit": Kind("BitFit", None, (0.01, 0.03)),
    "residual-adapters": Kind("residual adapters, r={}", 32, (0.003, 0.01)),
    "lora": Kind("LoRA, r={}", 8, (0.001, 0.003)),
    "hra-linear": Kind("HRA linear, H={}", 64, _HRA_RATES),
    "hra-ffn": Kind("HRA FFN, H=F={}", 64, _HRA_RATES),
    "hra-no-recurrence": Kind("HRA linear, u=0, H={}", 64, _HRA_RATES),
    "hra-apart": Kind("HRA linear, heads apart, H={}", 64, _HRA_RATES),
    "hra-controller-per-layer": Kind("HRA linear, a controller per layer, H={}", 64, _HRA_RATES),
    "hra-head-per-layer": Kind("HRA linear, a head per layer, H={}", 64, _HRA_RATES),
}
REACH_INSIDE = ("bitfit", "lora")
MAIN = ("full", "bitfit", "residual-adapters", "lora", "hra-linear", "hra-ffn")


@dataclass(frozen=True)
class Method:
    """One row of a comparison: a kind and its size (H, bottleneck or rank)."""

    name: str
    size: Optional[int]

    @property
    def label(self) -> str:
        return KINDS[self.name].title.format(self.size)

    @property
    def lrs(self) -> tuple[float, ...]:
        return KINDS[self.name].lrs

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}:{self.size}"


def parse_method(text: str) -> Method:
    """`name` or `name:size`, such as lora:8. Raises HraError for what is none."""
    name, _, size = text.strip().partition(":")
    if name not in KINDS:
        raise HraError(f"no such method: '{name}'{did_you_mean(name, KINDS)}; there are {', '.join(KINDS)}")
    default = KINDS[name].size
    if not size:
        return Method(name, default)
    if default is None:
        raise HraError(f"the method {name} has no size, but '{text}' gives one")
    if not size.isdecimal() or int(size) == 0:
        raise HraError(f"'{text}': the size of {name} is a positive whole number")
    return Method(name, int(size))


def new_method(method: Method, backbone: Backbone, tasks: Sequence[str], seed: int) -> tuple[Backbone, TaskAdapter]:
    """An untrained instance, which changes nothing until it is trained, and the backbone that it works on: the
    given one, or a copy where the method changes what is inside."""
    if method.name == "full":
        full = FullFineTuning(backbone, tasks)
        return full.model, full
    if method.name in REACH_INSIDE:
        generator = torch.Generator().manual_seed(seed)
        size = method.size or 0
        hooked = bitfit(backbone, tasks) if method.name == "bitfit" else lora(backbone, tasks, size, generator)
        return hooked.backbone, hooked
    return backbone, between_layers(method, backbone.layer_widths(), tasks, seed)


def between_layers(method: Method, layer_widths: dict[str, int], tasks: Sequence[str], seed: int) -> TaskAdapter:
    """An untrained instance of a method that sits between layers, for layers of these names and widths."""
    generator = torch.Generator().manual_seed(seed)
    widths, size = list(layer_widths.values()), method.size or 0
    if method.name == "residual-adapters":
        return ResidualAdapters(layer_widths, tasks, size, generator)
    if method.name == "hra-no-recurrence":
        return without_recurrence(tasks, max(widths), size, seed)
    if method.name == "hra-apart":
        return apart(tasks, max(widths), size, seed)
    if method.name == "hra-controller-per-layer":
        return controller_per_layer(tasks, widths, size, generator)
    if method.name == "hra-head-per-layer":
        return head_per_layer(tasks, widths, size, generator)
    if method.name in ("hra-linear", "hra-ffn"):
        return new_adapter(tasks, max(widths), size, method.name[len("hra-") :], size, seed)
    raise HraError(f"{method.name} does not sit between layers: it needs a recogniser, not only widths")
