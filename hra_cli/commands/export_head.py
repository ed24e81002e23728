"""`hra export-head`: one task's head as a file to take away."""

from __future__ import annotations

from pathlib import Path

import typer

from hra_cli.backbone.options import PRECISIONS
from hra_cli.commands import options
from hra_cli.experiment.export_options import ExportOptions

DTYPE = options.choice(ExportOptions.dtype, dict.fromkeys(PRECISIONS, ""), "What the parameters are stored in")


def export_head(
    exp_dir: Path = typer.Option(..., help="Experiment folder of `hra train`."),
    task: str = typer.Option(..., help="Task whose head to export."),
    output: Path = typer.Option(..., help="The .safetensors file to write."),
    controller: bool = typer.Option(ExportOptions.bundle, help="Bundle the controller, so that the file works alone."),
    dtype: str = DTYPE,
) -> None:
    """Package a task's head as one safetensors file."""

    from hra_cli.commands.tables import PlainConsole
    from hra_cli.experiment.folder import export_head as write_exported_head

    head = write_exported_head(exp_dir, task, output, controller, dtype)
    contents = f"{head.kind} head, {head.num_parameters:,} parameters"
    if head.controller is not None:
        contents += f", controller, {sum(tensor.numel() for tensor in head.controller.values()):,} parameters"
    PlainConsole().print(f"{output}: {contents}, {head.dtype}, {output.stat().st_size:,} bytes", soft_wrap=True)
