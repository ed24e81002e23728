"""`hra train`: options in, one call, tables out."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Optional

import typer

from hra_cli.commands import options
from hra_cli.commands.given import refuse_useless
from hra_cli.commands.head_options import head_to_train
from hra_cli.commands.lists import frames
from hra_cli.experiment.config import TrainConfig


def train(
    context: typer.Context,
    backbone: Path = options.BACKBONE,
    data: Path = options.DATA,
    exp_dir: Path = typer.Option(..., help="Experiment folder to write."),
    task: Optional[list[str]] = typer.Option(None, help="Task to train; repeatable. Default: all."),
    controller: Optional[Path] = typer.Option(
        TrainConfig.controller,
        help="Onboarding: train only heads, on this frozen controller (or a head file that bundles one).",
    ),
    start: Optional[str] = typer.Option(
        TrainConfig.start,
        help="Onboarding: the head that new heads start from: common, or another name, beside --controller, or a file. "
        "Default: they start untrained.",
    ),
    common_head: str = typer.Option(
        TrainConfig.common_head,
        help="Joint training of two or more tasks: name of the head that it also writes, for tasks that have none.",
    ),
    head: str = options.HEAD,
    hidden: int = typer.Option(TrainConfig.hidden, help="H, the controller's size."),
    inner: int = options.INNER,
    rnnt_type: str = options.RNNT_TYPE,
    loss: str = options.LOSS,
    max_duration: float = options.MAX_DURATION,
    num_epochs: int = options.NUM_EPOCHS,
    lr: float = options.LR,
    spec_augment: bool = options.SPEC_AUGMENT,
    recompute: bool = typer.Option(
        TrainConfig.recompute, help="Less memory for more time: compute layers again for the gradient."
    ),
    cache_frontend: bool = typer.Option(
        TrainConfig.cache_frontend,
        help="Keep the front end's output on disk between epochs; needs --no-spec-augment.",
    ),
    seed: int = options.SEED,
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[str] = options.CHUNK_SIZES,
    left_context_frames: Optional[str] = options.LEFT_CONTEXTS,
    validate_chunk_size: Optional[int] = options.VALIDATE_CHUNK_SIZE,
    validate_left_context_frames: Optional[int] = options.VALIDATE_LEFT_CONTEXT_FRAMES,
    precision: str = options.PRECISION,
    device: str = options.DEVICE,
    num_workers: int = options.NUM_WORKERS,
    resume: bool = typer.Option(False, help="Go on from the last checkpoint in --exp-dir."),
) -> None:
    """Train one small head per task on a frozen recogniser."""

    from hra_cli.backbone.location import recorded
    from hra_cli.commands.progress import progress_bar
    from hra_cli.commands.tables import PlainConsole
    from hra_cli.commands.wer_tables import before_after_table
    from hra_cli.data.skipped import SKIPPED_NAME
    from hra_cli.training.processes import together
    from hra_cli.training.train_heads import train as run_training

    with together() as processes:  # also where mistakes are found, which are said once
        if controller is not None:
            refuse_useless(context, "with --controller, which has its own size", "hidden")
            refuse_useless(context, "with --controller, where no controller is learned", "common_head")
        start_file, head, inner = head_to_train(context, controller, start, head, inner)
        config = TrainConfig(
            backbone=recorded(backbone),
            data=os.path.realpath(data),
            tasks=tuple(task or ()),
            controller=os.path.realpath(controller) if controller else None,
            common_head=common_head,
            start=os.path.realpath(start_file) if start_file else start,
            head=head,
            hidden=hidden,
            inner=inner,
            rnnt_type=rnnt_type,
            loss=loss,
            max_duration=max_duration,
            num_epochs=num_epochs,
            lr=lr,
            spec_augment=spec_augment,
            recompute=recompute,
            cache_frontend=cache_frontend,
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
        with progress_bar() as progress:
            result = run_training(config, exp_dir, resume, progress if processes.writes else None, processes)
    if not processes.writes:
        return
    console = PlainConsole()
    console.print(before_after_table(result.rows, "dev"))
    without = [row.task for row in result.rows if not row.before.words]
    if len(without) == len(result.rows):
        console.print("there are no words on dev: no WER, and the last epoch is selected", soft_wrap=True)
    elif without:
        console.print(f"without words on dev, and so without WER: {', '.join(without)}", soft_wrap=True)
    epochs = sorted(set(result.selected_epochs.values()))
    console.print(
        f"controller: {result.controller_parameters:,} parameters, shared; "
        f"selected epoch {', '.join(map(str, epochs))} of {result.num_epochs}"
    )
    if result.skipped:
        console.print(f"{len(result.skipped)} utterances left out: {exp_dir / SKIPPED_NAME}", soft_wrap=True)
    console.print(f"heads: {exp_dir / 'heads'}", soft_wrap=True)
    console.print(f"to look at it: hra report {shlex.quote(str(exp_dir))} --output report.html", soft_wrap=True)
