"""`hra compare`: options in, one call, a table out."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Optional

import typer

from hra_cli.baselines.methods import kinds
from hra_cli.commands import options
from hra_cli.commands.given import refuse_useless
from hra_cli.commands.lists import frames, numbers, split
from hra_cli.comparison.onboard_options import ONBOARD, OnboardOptions
from hra_cli.comparison.plan import MODES, NUM_JOBS, CompareConfig

METHODS_HELP = (
    "Methods, each with its size and its learning rates if you like, as in lora:8 or lora:8@0.001/0.003. "
    f"There are: {', '.join(kinds())}."
)
MODES_HELP = "; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items()) + "."


def compare(
    context: typer.Context,
    backbone: Path = options.BACKBONE,
    data: Path = options.DATA,
    exp_dir: Path = typer.Option(..., help="Folder for the comparison; one that was interrupted goes on."),
    task: Optional[list[str]] = typer.Option(None, help="Task to compare on; repeatable. Default: all."),
    methods: str = typer.Option(
        ",".join(CompareConfig.methods), help=METHODS_HELP, autocompletion=options.complete_list(kinds)
    ),
    modes: str = typer.Option(
        ",".join(CompareConfig.modes), help=MODES_HELP, autocompletion=options.complete_list(lambda: MODES)
    ),
    lrs: str = typer.Option("", help="Learning rates to choose from on dev. Default: each method's own two."),
    num_epochs: int = options.NUM_EPOCHS,
    budget_seconds: Optional[float] = typer.Option(
        CompareConfig.budget_seconds, help="Seconds of training per model, instead of epochs."
    ),
    seeds: str = typer.Option(
        ",".join(map(str, CompareConfig.seeds)), help="A cell for each; the first chooses the learning rate."
    ),
    shots: str = typer.Option(
        ",".join(map(str, OnboardOptions.shots)), help="onboard: utterances from which a held-out task is learned."
    ),
    held_out: Optional[list[str]] = typer.Option(
        None, help="onboard: task to hold out, together with others named so; repeatable. Default: all, in turn."
    ),
    folds: Optional[int] = typer.Option(
        OnboardOptions.folds,
        help="onboard: groups of tasks that are held out in turn. Default: as many as tasks, at most 4.",
    ),
    onboard_epochs: int = typer.Option(
        OnboardOptions.onboard_epochs, help="onboard: passes over a held-out task's utterances."
    ),
    rnnt_type: str = options.RNNT_TYPE,
    max_duration: float = options.MAX_DURATION,
    spec_augment: bool = options.SPEC_AUGMENT,
    decoding_method: str = options.DECODING_METHOD,
    num_jobs: int = typer.Option(NUM_JOBS, help="Cells to train at a time; they share the cores."),
    cluster: Optional[str] = options.CLUSTER,
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[str] = options.CHUNK_SIZES,
    left_context_frames: Optional[str] = options.LEFT_CONTEXTS,
    validate_chunk_size: Optional[int] = options.VALIDATE_CHUNK_SIZE,
    validate_left_context_frames: Optional[int] = options.VALIDATE_LEFT_CONTEXT_FRAMES,
    device: str = options.DEVICE,
) -> None:
    """Train HRA and the methods it competes with on the same data, and put them side by side."""

    from hra_cli.backbone.location import recorded
    from hra_cli.commands.comparison_tables import comparison_tables
    from hra_cli.commands.progress import progress_bar
    from hra_cli.commands.tables import PlainConsole, print_whole
    from hra_cli.comparison.run import TABLE_NAME
    from hra_cli.comparison.run import compare as run_comparison
    from hra_cli.report.write import write_report

    if cluster is not None:
        refuse_useless(context, "with --cluster", "num_jobs")
    if budget_seconds is not None:
        refuse_useless(context, "with --budget-seconds", "num_epochs")
    if ONBOARD not in split(modes):
        refuse_useless(context, f"without --modes {ONBOARD}", "shots", "held_out", "folds", "onboard_epochs")
        onboarding = None
    else:
        onboarding = OnboardOptions(tuple(numbers("--shots", shots, int)), tuple(held_out or ()), folds, onboard_epochs)
    config = CompareConfig(
        backbone=recorded(backbone),
        data=os.path.realpath(data),
        tasks=tuple(task or ()),
        methods=tuple(split(methods)),
        modes=tuple(split(modes)),
        lrs=tuple(numbers("--lrs", lrs, float)),
        num_epochs=num_epochs,
        budget_seconds=budget_seconds,
        seeds=tuple(numbers("--seeds", seeds, int)),
        rnnt_type=rnnt_type,
        max_duration=max_duration,
        spec_augment=spec_augment,
        decoding_method=decoding_method,
        pos_head_dim=pos_head_dim,
        chunk_size=frames("--chunk-size", chunk_size),
        left_context_frames=frames("--left-context-frames", left_context_frames),
        validate_chunk_size=validate_chunk_size,
        validate_left_context_frames=validate_left_context_frames,
        device=device,
        onboarding=onboarding,
    )
    with progress_bar() as progress:
        found = run_comparison(config, exp_dir, shlex.join(["hra", *sys.argv[1:]]), num_jobs, progress, cluster)
    report = write_report(exp_dir, exp_dir / "report.html")
    for table in comparison_tables(found):
        print_whole(table)
    PlainConsole().print(f"table: {exp_dir / TABLE_NAME}, report: {report}", soft_wrap=True)
