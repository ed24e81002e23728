"""The kinds of head. To add one: a class in heads.py and an entry here; nothing else knows them by name.

Imports nothing heavy, since the command line lists the kinds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hra_cli.errors import HraError, did_you_mean


@dataclass(frozen=True)
class HeadSizes:
    """width: D, channels of the widest layer. hidden: H, the controller's size. inner: F, 0 for kinds without."""

    width: int
    hidden: int
    inner: int = 0


@dataclass(frozen=True)
class HeadKind:
    """What one head consists of. All of it is per task; what tasks share is the controller.

    title: as tables show it. formula: the head's output o, by the controller's state h. bank: the class that applies
    heads of this kind, "module:name". tensors: the names in a head file (after "head."), and the sizes of the axes.
    """

    title: str
    formula: str
    bank: str
    tensors: dict[str, tuple[str, ...]]

    @property
    def has_inner(self) -> bool:
        """Whether heads of this kind have an inner layer, and so a size F."""
        return any("inner" in axes for axes in self.tensors.values())

    def shapes(self, sizes: HeadSizes) -> dict[str, tuple[int, ...]]:
        """The shapes of one head's tensors, by name."""
        return {name: tuple(getattr(sizes, axis) for axis in axes) for name, axes in self.tensors.items()}

    def num_parameters(self, sizes: HeadSizes) -> int:
        """Parameters of one head."""
        return sum(math.prod(shape) for shape in self.shapes(sizes).values())


KINDS: dict[str, HeadKind] = {
    "linear": HeadKind(
        "linear",
        "M h + c",
        "hra_cli.adapter.heads:LinearHeads",
        {"weight": ("width", "hidden"), "bias": ("width",)},
    ),
    "ffn": HeadKind(
        "FFN",
        "M2 ReLU(M1 h + c1) + c2",
        "hra_cli.adapter.heads:FfnHeads",
        {
            "in.weight": ("inner", "hidden"),
            "in.bias": ("inner",),
            "out.weight": ("width", "inner"),
            "out.bias": ("width",),
        },
    ),
}


def head_kind(name: str) -> HeadKind:
    """The kind of that name. Raises HraError for one that is not known."""
    if name not in KINDS:
        raise HraError(f"no such head: '{name}'{did_you_mean(name, KINDS)}")
    return KINDS[name]
