"""The methods of a comparison by name: their sizes, the learning rates to try, and how their tasks share gradients.

Imports nothing heavy, since the command line lists them. How a method is put on a recogniser is in build.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from hra_cli.adapter.head_kinds import KINDS as HEAD_KINDS
from hra_cli.errors import MOST_SIZE, HraError, did_you_mean


@dataclass(frozen=True)
class Kind:
    """A method of any size.

    title: as tables show it, with {} for the size. size: the default, None where the method has none.
    lrs: the peaks of the learning rate that `hra compare` tries. sharing: the policy by which tasks trained jointly
    share gradients (training/gradient_sharing.py). per_task, shared: whether it has parameters of each task's own, and
    such as all tasks share.
    """

    title: str
    size: Optional[int]
    lrs: tuple[float, ...]
    sharing: str = "own"
    per_task: bool = True
    shared: bool = False


_HRA_LRS = (0.004, 0.008)
_BASELINES = {
    "full": Kind("full fine-tuning", None, (0.0003, 0.0006), per_task=False, shared=True),
    "bitfit": Kind("BitFit", None, (0.01, 0.03)),
    "residual-adapters": Kind("residual adapters, r={}", 32, (0.003, 0.01)),
    "lora": Kind("LoRA, r={}", 8, (0.001, 0.003)),
}
_ABLATIONS = {
    "hra-no-recurrence": Kind("HRA linear, u=0, H={}", 64, _HRA_LRS, "by-amount", shared=True),
    "hra-apart": Kind("HRA linear, heads apart, H={}", 64, _HRA_LRS, shared=True),
    "hra-controller-per-layer": Kind(
        "HRA linear, a controller per layer, H={}", 64, _HRA_LRS, "by-amount", shared=True
    ),
    "hra-head-per-layer": Kind("HRA linear, a head per layer, H={}", 64, _HRA_LRS, "by-amount", shared=True),
}
# Full fine-tuning of one part, which says where in the recogniser tasks differ.
_PARTS = {
    f"full-{name}": Kind(f"full fine-tuning of the {title}", None, (0.0003, 0.0006), per_task=False, shared=True)
    for name, title in (("front-end", "front end"), ("encoder", "encoder"), ("transducer", "decoder and joiner"))
}
# The others, trained as HRA's heads are: all tasks begin alike and follow the gradients of all.
TOGETHER = "-together"
_TOGETHER = {
    f"residual-adapters{TOGETHER}": Kind("residual adapters together, r={}", 32, (0.001, 0.003), "by-amount"),
    f"lora{TOGETHER}": Kind("LoRA together, r={}", 8, (0.0003, 0.001), "by-amount"),
}
MAIN = ("full", "bitfit", "residual-adapters", "lora", "hra-linear", "hra-ffn")


def hra_kinds() -> dict[str, Kind]:
    """HRA itself, with each kind of head."""
    return {
        f"hra-{name}": Kind(
            f"HRA {kind.title}, {'H=F' if kind.has_inner else 'H'}={{}}", 64, _HRA_LRS, "by-amount", shared=True
        )
        for name, kind in HEAD_KINDS.items()
    }


def kinds() -> dict[str, Kind]:
    """Every method by name."""
    return {**_BASELINES, **hra_kinds(), **_ABLATIONS, **_PARTS, **_TOGETHER}


@dataclass(frozen=True)
class Method:
    """One row of a comparison: a kind and its size (H, bottleneck or rank)."""

    name: str
    size: Optional[int]

    @property
    def kind(self) -> Kind:
        """Its entry in `kinds()`."""
        return kinds()[self.name]

    @property
    def label(self) -> str:
        """Its title with its size, as tables show it."""
        return self.kind.title.format(self.size)

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}:{self.size}"


def parse_method(text: str) -> Method:
    """The method called `name` or `name:size`, such as lora:8. Raises HraError for an unknown one, or a wrong size."""
    name, _, size = text.strip().partition(":")
    known = kinds()
    if name not in known:
        raise HraError(f"no such method: '{name}'{did_you_mean(name, known)}; there are {', '.join(known)}")
    default = known[name].size
    if not size:
        return Method(name, default)
    if default is None:
        raise HraError(f"the method {name} has no size, but '{text}' gives one")
    if not re.fullmatch("[0-9]{1,6}", size) or not 0 < int(size) <= MOST_SIZE:
        raise HraError(f"'{text}': the size of {name} is a positive whole number, at most {MOST_SIZE:,}")
    return Method(name, int(size))
