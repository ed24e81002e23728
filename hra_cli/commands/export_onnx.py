"""`hra export-onnx`: a recogniser and its heads for sherpa-onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from hra_cli.commands import options
from hra_cli.export.check_config import CheckConfig
from hra_cli.export.export_config import ExportConfig


def export_onnx(
    backbone: Path = options.BACKBONE,
    output: Path = typer.Option(..., help="The folder to make."),
    exp_dir: Optional[Path] = typer.Option(ExportConfig.exp_dir, help="Experiment whose heads to export."),
    heads: Optional[Path] = typer.Option(
        ExportConfig.heads_dir, help="Folder whose heads to export, TASK.safetensors each, or a pack of heads."
    ),
    head: Optional[list[Path]] = typer.Option(None, help="Head file to export; repeatable."),
    controller: Optional[Path] = typer.Option(
        ExportConfig.controller, help="Controller for head files that bundle none."
    ),
    task: Optional[list[str]] = typer.Option(None, help="Task to export; repeatable. Default: all that have a head."),
    no_heads: bool = typer.Option(ExportConfig.no_heads, "--no-heads", help="Export the frozen model alone."),
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[int] = options.CHUNK_SIZE,
    left_context_frames: Optional[int] = options.LEFT_CONTEXT_FRAMES,
    int8: bool = typer.Option(ExportConfig.int8, "--int8", help="Write the recogniser with weights of 8 bits, too."),
    fp16: bool = typer.Option(ExportConfig.fp16, "--fp16", help="Write everything in 16 bits, too."),
    check: Optional[Path] = typer.Option(
        None, help="Prepared data whose test set to decode with the result, as `hra check-export` does."
    ),
) -> None:
    """Write a recogniser and its heads as ONNX files that sherpa-onnx runs.

    With --chunk-size and --left-context-frames for streams, otherwise for whole utterances.
    """
    config = ExportConfig(
        backbone=backbone,
        output=output,
        exp_dir=exp_dir,
        heads_dir=heads,
        heads=tuple(head or ()),
        controller=controller,
        tasks=tuple(task or ()),
        no_heads=no_heads,
        pos_head_dim=pos_head_dim,
        chunk_size=chunk_size,
        left_context_frames=left_context_frames,
        int8=int8,
        fp16=fp16,
    )
    from rich.table import Table

    from hra_cli.commands.check_export import check_and_show
    from hra_cli.commands.progress import progress_bar
    from hra_cli.commands.tables import PlainConsole
    from hra_cli.data.task_index import load_tasks
    from hra_cli.export.export_onnx import export_onnx as write_folder

    if check is not None:
        load_tasks(check)  # now, not after the work
    with progress_bar() as progress:
        exported = write_folder(config, progress)
    console = PlainConsole()
    table = Table("file", title=f"{output}: {len(exported.tasks)} tasks", title_justify="left")
    table.add_column("bytes", justify="right")
    for name, size in exported.sizes.items():
        table.add_row(name, f"{size:,}")
    table.add_section()
    table.add_row("total", f"{sum(exported.sizes.values()):,}")
    console.print(table)
    console.print(f"how to run it: {output / 'README.md'}", soft_wrap=True)
    if check is not None:
        check_and_show(CheckConfig(output, check))
