"""The state of a training run in one safetensors file: what `--resume` goes on from, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor, nn

from hra_cli.errors import HraError
from hra_cli.io.tensors import read_safetensors, write_safetensors

CHECKPOINT_NAME = "checkpoints/last.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq", "momentum", "common")  # of AdamW, and of Muon


@dataclass
class RunState:
    """Where a run is, apart from its tensors. `batch` is the next batch of `epoch`; `step` counts all of them."""

    data_digest: str
    epoch: int = 0
    batch: int = 0
    step: int = 0
    frozen: dict[str, Any] = field(default_factory=dict)  # dev scores of the frozen model
    selected: dict[str, Any] = field(default_factory=dict)  # per task: epoch and scores of the selected epoch
    loss_sum: float = 0.0  # of the epoch so far
    loss_frames: int = 0
    seconds: float = 0.0  # spent in training steps, reading data included
    scaler: dict[str, Any] = field(default_factory=dict)  # of the loss, in float16


@dataclass
class Checkpoint:
    """What `save_checkpoint` wrote: the run's state, and tensors by name."""

    state: RunState
    adapter: dict[str, Tensor]
    selected: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]  # by their name, then by parameter


def save_checkpoint(
    exp_dir: Path,
    state: RunState,
    adapter: nn.Module,
    selected: dict[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Writes the checkpoint over the previous one, whole or not at all."""
    tensors = {f"adapter.{name}": tensor for name, tensor in adapter.state_dict().items()}
    tensors.update({f"selected.{name}": tensor for name, tensor in selected.items()})
    for name, parameter in adapter.named_parameters():
        for moment, tensor in _state_of(parameter, optimizers).items():
            if moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = tensor
    write_safetensors(exp_dir / CHECKPOINT_NAME, tensors, {"state": json.dumps(asdict(state))})


def load_checkpoint(exp_dir: Path) -> Optional[Checkpoint]:
    """The last checkpoint, or None before the first. Raises HraError where it is damaged."""
    file = exp_dir / CHECKPOINT_NAME
    if not file.is_file():
        return None
    tensors, metadata = read_safetensors(file)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("adapter", "selected", *_MOMENTS)}
    try:
        state = RunState(**json.loads(metadata["state"]))
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
    except (KeyError, TypeError, ValueError) as error:
        raise HraError(f"{file} is not a checkpoint of this version of hra; train into a new folder") from error
    return Checkpoint(state, parts["adapter"], parts["selected"], {moment: parts[moment] for moment in _MOMENTS})


def restore(checkpoint: Checkpoint, adapter: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Puts the adapter and its optimisers back to where the checkpoint left them, on the adapter's device."""
    adapter.load_state_dict(checkpoint.adapter)
    names = {parameter: name for name, parameter in adapter.named_parameters()}
    for optimizer in optimizers:
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            saved = {
                # AdamW counts its steps on the host.
                moment: tensors[names[parameter]].to("cpu" if moment == "step" else parameter.device)
                for moment, tensors in checkpoint.moments.items()
                if names[parameter] in tensors
            }
            if saved:
                optimizer.state[parameter] = saved


def _state_of(parameter: nn.Parameter, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state that an optimiser has for this parameter; no more than one has any."""
    return next((optimizer.state[parameter] for optimizer in optimizers if parameter in optimizer.state), {})
