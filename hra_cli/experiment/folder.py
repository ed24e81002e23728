"""What an experiment folder offers, finished or running: its controller, its heads, and heads as single files."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Optional

from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import Head, as_dtype, read_controller, write_head
from hra_cli.adapter.head_folder import HeadFolder, list_heads
from hra_cli.adapter.head_pack import write_pack
from hra_cli.adapter.heads_on_disk import check_heads_of
from hra_cli.errors import HraError
from hra_cli.experiment.config import load_config
from hra_cli.experiment.export_options import ExportOptions


def experiment_heads_folder(exp_dir: Path) -> Path:
    """The folder of the experiment's head files. Raises HraError where it has none."""
    load_config(exp_dir)
    folder = exp_dir / "heads"
    if not list_heads(folder):
        raise HraError(
            f"{exp_dir} has no heads yet: `hra train` writes them when it ends or is interrupted; "
            "go on with --resume where it was killed"
        )
    return folder


def experiment_heads(exp_dir: Path, tasks: Optional[list[str]] = None) -> list[Head]:
    """The heads of the named tasks, or of all. Raises HraError where one is not there, or cannot be read."""
    folder = HeadFolder(experiment_heads_folder(exp_dir))
    check_heads_of(tasks or (), folder.tasks, folder.where)
    return [folder.read(task) for task in tasks or folder.tasks]


def experiment_controller(exp_dir: Path, backbone_fingerprint: str) -> Controller:
    """The controller that the experiment's heads are for. Raises HraError where it is not there."""
    return read_controller(exp_dir / "controller.safetensors", backbone_fingerprint)


def export_head(
    exp_dir: Path, task: str, output: Path, bundle: bool = ExportOptions.bundle, dtype: str = ExportOptions.dtype
) -> Head:
    """Writes one task's head to `output`, with its controller if `bundle`, and returns it.

    Raises HraError for a task without a head, an unknown dtype, or an output that is no .safetensors.
    """
    if output.suffix != ".safetensors":
        raise HraError(f"{output}: a head file's name ends in .safetensors")
    (head,) = experiment_heads(exp_dir, [task])
    if bundle:
        controller = experiment_controller(exp_dir, head.backbone_fingerprint)
        head = dataclasses.replace(head, controller=controller.tensors())
    head.other["created"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    head = as_dtype(head, dtype)
    write_head(output, head)
    return head


def export_pack(exp_dir: Path, output: Path, dtype: str = ExportOptions.dtype) -> list[Head]:
    """Writes all heads of an experiment, and their controller once, to the pack `output`, and returns them.

    Raises HraError for a head that cannot be read, an unknown dtype, or an output that is no .safetensors.
    """
    heads = experiment_heads(exp_dir)
    controller = experiment_controller(exp_dir, heads[0].backbone_fingerprint).tensors()
    # A rounded controller is another one, so each head is rounded together with it.
    rounded = [as_dtype(dataclasses.replace(head, controller=controller), dtype) for head in heads]
    packed = rounded[0].controller
    assert packed is not None
    write_pack(output, rounded, packed)
    return rounded
