"""`hra onboard`: options in, one call, a summary out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import typer

from hra_cli.commands import options
from hra_cli.commands.head_options import head_to_train
from hra_cli.commands.lists import frames
from hra_cli.errors import MISTAKE
from hra_cli.experiment.config import ONBOARD_MAX_DURATION, TASKS_PER_JOB, TrainConfig


def onboard(
    context: typer.Context,
    backbone: Path = options.BACKBONE,
    data: Path = options.DATA,
    controller: Path = typer.Option(..., help="The frozen controller (or a head file that bundles one)."),
    exp_dir: Path = typer.Option(..., help="Experiment folder to write, or to go on with."),
    task: Optional[list[str]] = typer.Option(None, help="Task to onboard; repeatable. Default: all."),
    start: Optional[str] = typer.Option(
        TrainConfig.start,
        help="The head that new heads start from: common, or another name, beside --controller, or a file. "
        "Default: they start untrained.",
    ),
    head: str = options.HEAD,
    inner: int = options.INNER,
    rnnt_type: str = options.RNNT_TYPE,
    loss: str = options.LOSS,
    max_duration: float = typer.Option(ONBOARD_MAX_DURATION, help=options.MAX_DURATION.help),
    num_epochs: int = options.NUM_EPOCHS,
    lr: float = options.LR,
    spec_augment: bool = options.SPEC_AUGMENT,
    seed: int = options.SEED,
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[str] = options.CHUNK_SIZES,
    left_context_frames: Optional[str] = options.LEFT_CONTEXTS,
    validate_chunk_size: Optional[int] = options.VALIDATE_CHUNK_SIZE,
    validate_left_context_frames: Optional[int] = options.VALIDATE_LEFT_CONTEXT_FRAMES,
    precision: str = options.PRECISION,
    device: str = options.DEVICE,
    num_workers: int = options.NUM_WORKERS,
    tasks_per_job: int = typer.Option(TASKS_PER_JOB, help="Tasks whose heads are trained together, in mixed batches."),
    cluster: Optional[str] = options.CLUSTER,
) -> None:
    """Train heads for thousands of tasks on a frozen controller, some of them at a time."""

    from hra_cli.backbone.location import recorded
    from hra_cli.commands.progress import progress_bar
    from hra_cli.commands.tables import PlainConsole
    from hra_cli.commands.wer_tables import onboarded_tables
    from hra_cli.io.cluster import cluster_executor
    from hra_cli.training.many_tasks import FAILED_NAME, SUMMARY_NAME
    from hra_cli.training.many_tasks import onboard as run_onboarding

    start_file, head, inner = head_to_train(context, controller, start, head, inner)
    config = TrainConfig(
        backbone=recorded(backbone),
        data=os.path.realpath(data),
        tasks=tuple(task or ()),
        controller=os.path.realpath(controller),
        start=None if start_file is None else os.path.realpath(start_file),
        head=head,
        inner=inner,
        rnnt_type=rnnt_type,
        loss=loss,
        max_duration=max_duration,
        num_epochs=num_epochs,
        lr=lr,
        spec_augment=spec_augment,
        seed=seed,
        pos_head_dim=pos_head_dim,
        chunk_size=frames("--chunk-size", chunk_size),
        left_context_frames=frames("--left-context-frames", left_context_frames),
        validate_chunk_size=validate_chunk_size,
        validate_left_context_frames=validate_left_context_frames,
        precision=precision,
        device=device,
        num_workers=num_workers,
    )
    with cluster_executor(cluster) as executor, progress_bar() as progress:
        result = run_onboarding(config, exp_dir, executor, tasks_per_job, progress)
    console = PlainConsole()
    for table in onboarded_tables(result):
        console.print(table)
    console.print(
        f"{len(result.onboarded):,} tasks have their head, {result.new:,} of them new: {exp_dir / 'heads'}; "
        f"all in {exp_dir / SUMMARY_NAME}",
        soft_wrap=True,
    )
    if result.failed:
        console.print(f"{len(result.failed):,} tasks have none: {exp_dir / FAILED_NAME}", soft_wrap=True)
        raise typer.Exit(MISTAKE)
