"""`hra export-head`: heads as a file to take away, one or all."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from hra_cli.backbone.options import PRECISIONS
from hra_cli.commands import options
from hra_cli.commands.given import needed, refuse_useless
from hra_cli.experiment.export_options import ExportOptions

DTYPE = options.choice(ExportOptions.dtype, dict.fromkeys(PRECISIONS, ""), "What the parameters are stored in")


def export_head(
    context: typer.Context,
    exp_dir: Path = typer.Option(..., help="Experiment folder of `hra train`."),
    task: Optional[str] = typer.Option(None, help="Task whose head to export."),
    output: Optional[Path] = typer.Option(None, help="The .safetensors file to write."),
    every: bool = typer.Option(False, "--all", help="Export all heads, and their controller once, to --pack."),
    pack: Optional[Path] = typer.Option(None, help="The .safetensors file to write, for --all."),
    controller: bool = typer.Option(ExportOptions.bundle, help="Bundle the controller, so that the file works alone."),
    dtype: str = DTYPE,
) -> None:
    """Package a task's head, or all heads, as one safetensors file."""

    from hra_cli.commands.tables import PlainConsole
    from hra_cli.experiment.folder import export_head as write_exported_head
    from hra_cli.experiment.folder import export_pack

    if every:
        refuse_useless(context, "with --all, which writes all heads to --pack", "task", "output", "controller")
        heads = export_pack(exp_dir, needed(pack, "--pack", "with --all"), dtype)
        contents = f"{len(heads)} heads of {heads[0].num_parameters:,} parameters"
        head, output = heads[0], pack
    else:
        refuse_useless(context, "without --all", "pack")
        task, output = needed(task, "--task", "or --all"), needed(output, "--output", "with --task")
        head = write_exported_head(exp_dir, task, output, controller, dtype)
        contents = f"{head.kind} head, {head.num_parameters:,} parameters"
    if head.controller is not None:
        contents += f", controller, {sum(tensor.numel() for tensor in head.controller.values()):,} parameters"
    assert output is not None
    PlainConsole().print(f"{output}: {contents}, {head.dtype}, {output.stat().st_size:,} bytes", soft_wrap=True)
