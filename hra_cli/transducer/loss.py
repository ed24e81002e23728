"""The pruned transducer loss of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.errors import HraError, did_you_mean
from hra_cli.nn.device import on_device
from hra_cli.transducer import k2_rnnt, pruned_rnnt
from hra_cli.transducer.blank import BLANK
from hra_cli.transducer.k2_library import import_k2
from hra_cli.transducer.names import LOSSES, RNNT_TYPES

# The functions for the names in names.py.
FUNCTIONS = {"hra": pruned_rnnt.simple_and_pruned, "k2": k2_rnnt.simple_and_pruned}

# The scales of icefall's recipes.
LM_SCALE = 0.25
SIMPLE_LOSS_SCALE = 0.5
PRUNE_RANGE = 5


@dataclass
class Loss:
    """The simple and the pruned loss in nats, not divided by frames: (N,) by utterance, or () as sums over a batch."""

    simple: Tensor
    pruned: Tensor

    @property
    def total(self) -> Tensor:
        """What training minimises: 0.5 · simple + pruned."""
        return SIMPLE_LOSS_SCALE * self.simple + self.pruned

    def sum(self) -> Loss:
        """The losses summed over the batch."""
        return Loss(self.simple.sum(), self.pruned.sum())


def check_rnnt_type(rnnt_type: str) -> None:
    """Raises HraError for a type that is not in RNNT_TYPES."""
    if rnnt_type not in RNNT_TYPES:
        raise HraError(f"no such --rnnt-type: '{rnnt_type}'{did_you_mean(rnnt_type, RNNT_TYPES)}")


def check_loss(library: str) -> None:
    """Raises HraError for a library that is not in LOSSES."""
    if library not in LOSSES:
        raise HraError(f"no such --loss: '{library}'{did_you_mean(library, LOSSES)}")


def check_installed(library: str) -> None:
    """Raises HraError where the loss is k2's and k2 is missing: before a run, not at its first step."""
    if library == "k2":
        import_k2()


def pruned_loss(
    backbone: Backbone,
    encoder_out: Tensor,
    encoder_out_lens: Tensor,
    tokens: list[list[int]],
    rnnt_type: str = "regular",
    library: str = "hra",
    longest: int = 0,
) -> Loss:
    """The loss of every utterance, (N,), on the device of encoder_out.

    encoder_out (N, T, C), encoder_out_lens (N,): on one device. tokens: ids of each utterance, without blank.
    rnnt_type: a name in RNNT_TYPES. library: "hra", or "k2" for k2's own functions, which give the same in float64.
    longest: tokens of the longest utterance of the batch that these are a part of. Which positions the joiner is
    computed for depends on it, as in k2: they are chosen among as many as that utterance has.
    Every utterance must have at least as many frames as tokens. Raises HraError where k2 is wanted and missing.
    """
    device = encoder_out.device
    longest = max(longest, *map(len, tokens))
    padded = [utterance + [BLANK] * (longest - len(utterance)) for utterance in tokens]
    symbols = on_device(padded, device)
    lens = on_device([len(utterance) for utterance in tokens], device)
    losses = FUNCTIONS[library]
    return Loss(*losses(backbone, encoder_out, encoder_out_lens, symbols, lens, rnnt_type, LM_SCALE, PRUNE_RANGE))


def fits(num_frames: int, num_tokens: int) -> bool:
    """Whether an utterance of so many encoder frames (25 Hz) can emit its tokens, one a frame at most."""
    return num_frames >= max(num_tokens, 1)
