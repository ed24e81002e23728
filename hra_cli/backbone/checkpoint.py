"""Finding and reading what icefall leaves behind, without ever unpickling anything but tensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable

from torch import Tensor

from hra_cli.backbone.families import (
    refuse_other_content,
    refuse_other_family,
    refuse_other_file,
    refuse_own_file,
)
from hra_cli.backbone.location import choose_checkpoint
from hra_cli.errors import HraError
from hra_cli.io.tensor_pickle import StoredTensor
from hra_cli.io.tensors import read_safetensors
from hra_cli.io.torch_file import read_torch_file

# Trained beside the transducer in some recipes; no part of it.
UNUSED_MODULES = ("ctc_output", "attention_decoder")


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file at `path`, or of the recogniser in that folder, see `choose_checkpoint`.
    Raises HraError where there is none."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise HraError(f"no recogniser at {path}: no such file or folder")
    files = [*path.glob("*"), *path.glob("exp/*")]
    try:
        return path / choose_checkpoint([file.relative_to(path).as_posix() for file in files if file.is_file()])
    except HraError as error:
        raise HraError(f"no recogniser in {path}: {error}") from error


def read_checkpoint(file: Path, note: Callable[[str], None] = lambda message: None) -> dict[str, Tensor]:
    """The transducer's tensors by name, as stored.

    The averaged weights (model_avg) where the checkpoint has them. `note` is told of tensors that are left out.
    Raises HraError for anything that is not such a checkpoint, by its name where it is a model that hra knows.
    """
    refuse_other_file(file)
    if file.suffix == ".safetensors":
        tensors, metadata = read_safetensors(file)
        refuse_own_file(file, metadata)
        refuse_other_family(file, tensors)
    else:
        tensors = read_torch_file(file, partial(_model, file))
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(UNUSED_MODULES)}
    left_out = sorted({name.split(".")[0] for name in tensors.keys() - used.keys()})
    if left_out:
        note(f"{file}: {', '.join(left_out)} is no part of the transducer and is not used")
    return used


def _model(file: Path, content: Any) -> dict[str, StoredTensor]:
    """The model's tensors of what icefall has saved in `file`."""
    model: object = None
    if isinstance(content, dict):
        model = content.get("model_avg") or content.get("model")
    if not isinstance(model, dict) or not all(isinstance(tensor, StoredTensor) for tensor in model.values()):
        refuse_other_content(file, content)
        raise HraError(f'{file} is not an icefall checkpoint: expected {{"model": tensors by name}}')
    refuse_other_family(file, map(str, model))
    return {str(name): tensor for name, tensor in model.items()}
