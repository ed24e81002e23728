"""Where the adapter meets a layer: x̂_l = x_l + o_l."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import HeadSizes, head_kind
from hra_cli.adapter.heads import ApplyHeads, HeadBank, new_bank
from hra_cli.adapter.task_adapter import AfterLayer, LayerInfo, TaskAdapter
from hra_cli.errors import HraError
from hra_cli.nn.frames import in_groups, repeat_last_frame, upsample


class Adapter(TaskAdapter):
    """A controller that all tasks share, and a bank with a head for each.

    common: a bank with one head more, for tasks that have none. In joint training it follows the gradient of all tasks
    together.
    """

    def __init__(self, controller: Controller, bank: HeadBank, tasks: Sequence[str], common: Optional[HeadBank] = None):
        super().__init__(tasks)
        self.controller = controller
        self.bank = bank
        self.common = common

    def for_tasks(self, tasks: Sequence[str]) -> AfterLayer:
        """The callable to give to one `encode` of a batch whose n-th utterance is of task tasks[n].

        It carries the controller's state from layer to layer, so every forward pass needs a new one.
        Raises HraError for a task that has no head here.
        """
        return AdapterPass(self.controller, self.bank.gather(self.index(tasks)))

    def per_task_parameters(self) -> dict[str, nn.Parameter]:
        return {f"bank.{name}": parameter for name, parameter in self.bank.named_parameters()}

    def common_parameters(self) -> dict[str, nn.Parameter]:
        return {} if self.common is None else {f"bank.{name}": one for name, one in self.common.named_parameters()}

    @property
    def pull_scale(self) -> float:
        return self.bank.pull_scale

    def matrices(self) -> list[nn.Parameter]:
        banks = [self.bank] if self.common is None else [self.bank, self.common]
        return [self.controller.weight, *(matrix for bank in banks for matrix in bank.matrices())]


class AdapterPass:
    """One forward pass through the backbone's layers: the `after_layer` of one `encode`.

    controller: x (T, N, d) and h (T, N, H), or None before the first layer, to the next h.
    """

    def __init__(self, controller: Callable[[Tensor, Optional[Tensor]], Tensor], apply_heads: ApplyHeads):
        self.controller = controller
        self.apply_heads = apply_heads
        self.state: Optional[Tensor] = None
        self.layer: Optional[LayerInfo] = None

    def __call__(self, x: Tensor, layer: LayerInfo) -> Tensor:
        """x (T, N, d), the layer's output, to what the next layer sees, (T, N, d)."""
        if self.state is not None and self.layer is not None:
            self.state = at_rate_of(self.state, self.layer, layer, x.shape[0])
        self.state = self.controller(x, self.state)
        self.layer = layer
        return x + self.apply_heads(self.state, x.shape[-1])


def at_rate_of(state: Tensor, source: LayerInfo, target: LayerInfo, num_frames: int) -> Tensor:
    """state (T, N, H) carried from the source layer's frame rate to the target's `num_frames`, as the Zipformer
    carries x: up by repeating each frame, down by averaging each group, the last group being filled with the
    utterance's own last frame."""
    common = math.gcd(source.downsampling, target.downsampling)
    up, down = source.downsampling // common, target.downsampling // common
    if up > 1:
        state = upsample(state, up)
    if down > 1:
        state = in_groups(repeat_last_frame(state, source.lens * up), down).mean(dim=1)
    return state[:num_frames]


def new_adapter(
    tasks: Sequence[str],
    width: int,
    hidden: int = 64,
    head: str = "linear",
    inner: int = 64,
    seed: int = 42,
    controller: Optional[Controller] = None,
    common: bool = False,
) -> Adapter:
    """An untrained adapter, which changes nothing until it is trained.

    width: channels of the widest layer. hidden: H, the controller's size. head: the kind of the heads. inner: F, for
    kinds that have an inner layer. controller: an existing one, which is then frozen (onboarding); `hidden` is its own.
    common: whether there is a head for tasks that have none, too.
    Raises HraError for a kind that is not known, and for a controller of another width.
    """
    generator = torch.Generator().manual_seed(seed)
    if controller is None:
        controller = Controller(width, hidden, generator)
    else:
        if controller.width != width:
            raise HraError(f"the controller is for width {controller.width}, the backbone has {width}")
        controller.requires_grad_(False)
    sizes = HeadSizes(width, controller.hidden, inner if head_kind(head).has_inner else 0)
    bank = new_bank(head, len(tasks), sizes, generator)
    adapter = Adapter(controller, bank, tasks, new_bank(head, 1, sizes) if common else None)
    if adapter.common is not None:
        adapter.common.load(0, bank.tensors(0))
    return adapter
