"""The methods by name: their sizes, and the learning rates to try. Imports nothing heavy, since the command line lists
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

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
