"""What a forward pass through the encoder is: all that its modules are told beside x.

batch_pass.py has whole utterances, chunk_pass.py a chunk of each of many streams.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, NamedTuple

from torch import Tensor, nn

from hra_cli.backbone.options import BackboneOptions


class Layer(NamedTuple):
    """Where in the encoder an `after_layer` callable stands."""

    name: str  # as in the checkpoint, e.g. "encoders.1.encoder.layers.0"
    width: int  # channels
    downsampling: int  # frames of 20 ms per frame here
    lens: Tensor  # (N,) frames of each utterance at this rate, on the encoder's device


# x (T, N, C) float32, the output of a layer, to what the next layer sees: the same shape.
AfterLayer = Callable[[Tensor, Layer], Tensor]


class Pass(ABC):
    """What holds for a whole batch at one frame rate. Modules call it `run`.

    Modules that work on single frames need nothing of it. What looks from one frame to another is done here: attention,
    convolution over time, and moving between frame rates. How frames lie in x (…, C) is the pass's own business, and so
    is the form of attention weights.

    options: how the recogniser is run. downsampling: frames of 20 ms per frame here.
    """

    options: BackboneOptions
    downsampling: int

    @abstractmethod
    def at_rate(self, factor: int) -> Pass:
        """This pass after every `factor` frames have become one."""

    @abstractmethod
    def adapted(self, x: Tensor, layer: str) -> Tensor:
        """x, the output of the layer of this name, as `after_layer` returns it for the next layer."""

    @abstractmethod
    def positions(self, dim: int) -> Tensor:
        """The table of relative positions, (offsets, dim) float32: a row for every offset that there can be."""

    @abstractmethod
    def attention_weights(self, query: Tensor, key: Tensor, pos_query: Tensor, pos_key: Tensor) -> Any:
        """Which frames every frame sees, and how much. query, key (…, H · D), pos_query (…, H · P).

        pos_key (H, P, offsets): `positions` as keys, of H heads.
        """

    @abstractmethod
    def averaged(self, weights: Any, value: Tensor, heads: int) -> Tensor:
        """value (…, H · D), averaged by every head's weights: the same shape."""

    @abstractmethod
    def averaged_by_first(self, weights: Any, value: Tensor) -> Tensor:
        """value (…, C), averaged by the first head's weights: the same shape."""

    @abstractmethod
    def convolved(self, x: Tensor, conv: nn.Module) -> Tensor:
        """x (…, C), convolved over time by a module of convolution.py: the same shape. x may be overwritten."""

    @abstractmethod
    def downsampled(self, x: Tensor, weights: Tensor) -> Tensor:
        """The frames at the lower rate: each is a sum of as many frames of x (…, C) as there are weights (factor,)."""

    @abstractmethod
    def upsampled(self, x: Tensor, factor: int) -> Tensor:
        """x (…, C) of the pass `at_rate(factor)`, in the frames of this one: each repeated."""
