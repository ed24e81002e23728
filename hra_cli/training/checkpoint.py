"""The state of a training run in one safetensors file: what `--resume` goes on from, bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor, nn

from hra_cli.errors import HraError
from hra_cli.tensors import read_safetensors, write_safetensors

CHECKPOINT_NAME = "checkpoints/last.safetensors"
_ADAM = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a run is, apart from its tensors. `batch` is the next batch of `epoch`; `step` counts all of them."""

    data_digest: str
    epoch: int = 0
    batch: int = 0
    step: int = 0
    frozen: dict[str, Any] = field(default_factory=dict)  # dev scores of the frozen model
    best: dict[str, Any] = field(default_factory=dict)  # per task: epoch and scores of the best epoch
    loss_sum: float = 0.0  # of the epoch so far
    loss_frames: int = 0
    seconds: float = 0.0  # spent in training steps, reading data included


@dataclass
class Checkpoint:
    progress: Progress
    adapter: dict[str, Tensor]
    best: dict[str, Tensor]
    adam: dict[str, dict[str, Tensor]]  # "exp_avg" and "exp_avg_sq" by parameter


def save_checkpoint(
    exp_dir: Path,
    progress: Progress,
    adapter: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Writes the checkpoint over the previous one, whole or not at all."""
    tensors = {f"adapter.{name}": tensor for name, tensor in adapter.state_dict().items()}
    tensors.update({f"best.{name}": tensor for name, tensor in best.items()})
    for name, parameter in adapter.named_parameters():
        for moment in _ADAM:
            if moment in optimizer.state.get(parameter, {}):
                tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    write_safetensors(exp_dir / CHECKPOINT_NAME, tensors, {"progress": json.dumps(asdict(progress))})


def load_checkpoint(exp_dir: Path) -> Optional[Checkpoint]:
    """The last checkpoint, or None before the first. Raises HraError where it is damaged."""
    file = exp_dir / CHECKPOINT_NAME
    if not file.is_file():
        return None
    tensors, metadata = read_safetensors(file)
    try:
        progress = Progress(**json.loads(metadata["progress"]))
    except (KeyError, TypeError, ValueError) as error:
        raise HraError(f"{file} is not a checkpoint of this version of hra; train into a new folder") from error
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("adapter", "best", *_ADAM)}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    return Checkpoint(progress, parts["adapter"], parts["best"], {moment: parts[moment] for moment in _ADAM})


def restore(checkpoint: Checkpoint, adapter: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts the adapter and its AdamW back to where the checkpoint left them."""
    adapter.load_state_dict(checkpoint.adapter)
    for name, parameter in adapter.named_parameters():
        if name in checkpoint.adam["exp_avg"]:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(checkpoint.progress.step)),
                **{moment: checkpoint.adam[moment][name].to(parameter.device) for moment in _ADAM},
            }
