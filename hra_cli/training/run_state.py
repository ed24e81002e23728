"""The state of a training run in one safetensors file: what `--resume` goes on from, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from hra_cli.errors import HraError
from hra_cli.io.documents import check_numbers, parse_json
from hra_cli.io.tensors import fingerprint, read_safetensors, write_safetensors
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.averaging import AveragedParameters
from hra_cli.training.muon import Muon
from hra_cli.training.selection import Selected

CHECKPOINT_NAME = "checkpoints/last.safetensors"
NOTHING = fingerprint({})
REMEDY = "train into a new folder"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq", "momentum", "common")  # of AdamW, and of Muon


@dataclass
class RunState:
    """Where a run is, apart from its tensors. `batch` is the next batch of `epoch`; `step` counts all of them."""

    data_digest: str
    epoch: int = 0
    batch: int = 0
    step: int = 0
    frozen: dict[str, ErrorCounts] = field(default_factory=dict)  # dev scores of the frozen model
    selected: dict[str, Selected] = field(default_factory=dict)  # by task
    loss_sum: float = 0.0  # of the epoch so far
    loss_frames: int = 0
    seconds: float = 0.0  # spent in training steps, reading data included
    start: str = NOTHING  # fingerprint of what onboarded heads start from
    scaler: dict[str, Union[int, float]] = field(default_factory=dict)  # of the loss, in float16
    averaged: Optional[int] = None  # steps that the mean of the parameters is of; None of an earlier version's run

    def __post_init__(self) -> None:
        check_numbers(self)
        for counts in self.frozen.values():
            check_numbers(counts)


@dataclass
class Checkpoint:
    """What `save_checkpoint` wrote: the run's state, and tensors by name."""

    file: Path
    state: RunState
    adapter: dict[str, Tensor]
    selected: dict[str, Tensor]
    mean: dict[str, Tensor]  # of the trained parameters
    moments: dict[str, dict[str, Tensor]]  # by their name, then by parameter


def save_checkpoint(
    exp_dir: Path,
    state: RunState,
    adapter: nn.Module,
    selected: dict[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    mean: dict[str, Tensor],
) -> None:
    """Writes the checkpoint over the previous one, whole or not at all."""
    tensors = {f"adapter.{name}": tensor for name, tensor in adapter.state_dict().items()}
    tensors.update({f"selected.{name}": tensor for name, tensor in selected.items()})
    tensors.update({f"mean.{name}": tensor for name, tensor in mean.items()})
    for name, parameter in adapter.named_parameters():
        for moment, tensor in _state_of(parameter, optimizers).items():
            if moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = tensor
    write_safetensors(exp_dir / CHECKPOINT_NAME, tensors, sealed(tensors, json.dumps(asdict(state))))


def sealed(tensors: Mapping[str, Tensor], state: str) -> dict[str, str]:
    """The metadata of a checkpoint: its state, as JSON, and a fingerprint of all that it holds."""
    return {"state": state, "fingerprint": _seal(tensors, state)}


def _seal(tensors: Mapping[str, Tensor], state: str) -> str:
    return fingerprint({**tensors, "state": torch.frombuffer(bytearray(state.encode()), dtype=torch.uint8)})


def load_checkpoint(exp_dir: Path) -> Optional[Checkpoint]:
    """The last checkpoint, or None before the first.

    Raises HraError where it is damaged: not what was written, or not a run's state.
    """
    file = exp_dir / CHECKPOINT_NAME
    if not file.exists():
        return None
    tensors, metadata = read_safetensors(file)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("adapter", "selected", "mean", *_MOMENTS)}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise HraError(f"{file} is not a checkpoint of this version of hra: it has a tensor {name}; {REMEDY}")
        parts[part][rest] = tensor
    if "state" not in metadata:
        raise HraError(f"{file} is not a checkpoint of this version of hra: it has no state; {REMEDY}")
    # Those that an earlier version wrote are not sealed.
    if metadata.get("fingerprint", None) not in (None, _seal(tensors, metadata["state"])):
        raise HraError(f"{file} is damaged: it is not what was written; {REMEDY}")
    state = parse_json(metadata["state"], RunState, str(file), REMEDY)
    moments = {moment: parts[moment] for moment in _MOMENTS}
    return Checkpoint(file, state, parts["adapter"], parts["selected"], parts["mean"], moments)


def check(checkpoint: Checkpoint, tasks: Sequence[str], num_epochs: int, keeps_mean: bool) -> None:
    """Raises HraError for the state of a run with other tasks, of an earlier version, or past its end."""
    state = checkpoint.state
    selected = set(tasks) if state.epoch else set()
    for what, expected in ((state.frozen, set(tasks)), (state.selected, selected)):
        if set(what) != expected:
            raise HraError(f"{checkpoint.file} is of a run with other tasks; {REMEDY}")
    if keeps_mean and state.averaged is None and state.epoch < num_epochs:
        raise HraError(f"{checkpoint.file} is of an earlier version of hra, which kept no mean; {REMEDY}")
    if (state.averaged or 0) > state.step:
        raise HraError(f"{checkpoint.file} is damaged: a mean of {state.averaged} of {state.step} steps; {REMEDY}")
    if state.epoch > num_epochs:
        raise HraError(f"{checkpoint.file} is damaged: it is at epoch {state.epoch} of {num_epochs}; {REMEDY}")


def restore(
    checkpoint: Checkpoint,
    adapter: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: AveragedParameters,
) -> None:
    """Puts the adapter, the mean and the optimisers back to where the checkpoint left them, on the adapter's device.

    Raises HraError for tensors that are not those of such an adapter and such optimisers.
    """
    own = adapter.state_dict()
    _check_tensors(checkpoint.file, "adapter", checkpoint.adapter, own)
    if checkpoint.selected or checkpoint.state.epoch:
        _check_tensors(checkpoint.file, "selected", checkpoint.selected, own)
    if checkpoint.mean or checkpoint.state.averaged:
        _check_tensors(checkpoint.file, "mean", checkpoint.mean, average.trained)
    names = {parameter: name for name, parameter in adapter.named_parameters()}
    states: list[tuple[torch.optim.Optimizer, nn.Parameter, dict[str, Tensor]]] = []
    known: set[tuple[str, str]] = set()
    for optimizer, parameter, expected in _expected_moments(optimizers):
        name = names[parameter]
        found = {moment: tensors[name] for moment, tensors in checkpoint.moments.items() if name in tensors}
        if found:
            _check_tensors(checkpoint.file, f"the moments of {name}:", found, expected)
            known.update((moment, name) for moment in found)
            states.append((optimizer, parameter, found))
    for moment, tensors in checkpoint.moments.items():
        for name in tensors:
            if (moment, name) not in known:
                raise HraError(f"{checkpoint.file} is of another run: {moment}.{name} is not expected; {REMEDY}")
    adapter.load_state_dict(checkpoint.adapter)
    average.restore(checkpoint.mean, checkpoint.state.averaged or 0)
    for optimizer, parameter, found in states:
        optimizer.state[parameter] = {
            # AdamW counts its steps on the host.
            moment: tensor.to("cpu" if moment == "step" else parameter.device)
            for moment, tensor in found.items()
        }


def _expected_moments(
    optimizers: Sequence[torch.optim.Optimizer],
) -> Iterator[tuple[torch.optim.Optimizer, nn.Parameter, dict[str, Tensor]]]:
    """Every trained parameter with its optimiser, and tensors like those that the optimiser keeps for it."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if not isinstance(optimizer, Muon):
                    yield optimizer, parameter, {
                        "step": torch.tensor(0.0), "exp_avg": parameter, "exp_avg_sq": parameter
                    }  # fmt: skip
                elif optimizer.own_weights is not None and group["per_task"]:
                    yield optimizer, parameter, {"momentum": parameter, "common": parameter[:1]}
                else:
                    yield optimizer, parameter, {"momentum": parameter}


def _check_tensors(file: Path, what: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises HraError where names, shapes or dtypes differ."""
    for name in sorted({*found, *expected}):
        if name not in found or name not in expected:
            wrong = "missing" if name in expected else "not expected"
        elif found[name].shape != expected[name].shape:
            wrong = f"of shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
        elif found[name].dtype != expected[name].dtype:
            wrong = f"{found[name].dtype}, not {expected[name].dtype}"
        else:
            continue
        raise HraError(f"{file} is of another run: {what} {name} is {wrong}; {REMEDY}")


def _state_of(parameter: nn.Parameter, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """The state that an optimiser has for this parameter; no more than one has any."""
    return next((optimizer.state[parameter] for optimizer in optimizers if parameter in optimizer.state), {})
