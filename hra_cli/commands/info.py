"""`hra info`: the facts about a path, or about what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from hra_cli.backbone.options import BackboneOptions
from hra_cli.baselines.methods import parse_method
from hra_cli.commands import options
from hra_cli.commands.given import refuse_useless

if TYPE_CHECKING:
    from hra_cli.report.facts import Description


def info(
    context: typer.Context,
    path: Optional[Path] = typer.Argument(None, help="Head, controller, recogniser, data folder or experiment."),
    pos_head_dim: int = options.POS_HEAD_DIM,
    show_growth: bool = typer.Option(
        False, "--growth", help="Parameters in all for 1 to 10,000 tasks, for the recogniser at PATH or stated sizes."
    ),
    methods: Optional[str] = typer.Option(None, help="With --growth: methods, such as hra-linear:64,lora:8."),
    width: int = typer.Option(1536, help="With --growth and no PATH: channels of the encoder."),
    layers: int = typer.Option(32, help="With --growth and no PATH: layers of the encoder."),
) -> None:
    """Show what a path is: sizes, fingerprints, scores; without one, what is installed and the devices that there are.

    With --growth: what each method costs over tasks.
    """
    from hra_cli.report.facts import describe
    from hra_cli.report.installation import describe_installation

    BackboneOptions(pos_head_dim=pos_head_dim)  # refuses what cannot be
    if path is None:
        refuse_useless(context, "without the PATH of a recogniser", "pos_head_dim")
    if not show_growth:
        refuse_useless(context, "without --growth", "methods", "width", "layers")
    elif path is not None:
        refuse_useless(context, "with a PATH, which has its own size", "width", "layers")
    if show_growth:
        _print_growth(path, pos_head_dim, methods, width, layers)
    elif path is None:
        _print_description(describe_installation(), "this installation")
    else:
        description = describe(path, pos_head_dim)
        if description.kind != "recogniser":
            refuse_useless(context, "on what is no recogniser", "pos_head_dim")
        _print_description(description, f"{path}: {description.kind}")


def _print_description(description: Description, title: str) -> None:
    from rich.table import Table

    from hra_cli.commands.tables import PlainConsole

    console = PlainConsole()
    facts = Table(title=title, show_header=False, title_justify="left")
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in description.facts.items():
        facts.add_row(name, value)
    console.print(facts)
    if description.rows:
        parts = Table(*description.columns)
        for row in description.rows:
            parts.add_row(*row)
        console.print(parts)


def _print_growth(path: Optional[Path], pos_head_dim: int, methods: Optional[str], width: int, layers: int) -> None:
    from rich.table import Table

    from hra_cli.commands.tables import print_whole
    from hra_cli.comparison.growth import growth_of_path, growth_of_sizes

    chosen = None if methods is None else [parse_method(text) for text in methods.split(",")]
    if path is None:
        title = f"width {width}, {layers} layers"
        found = growth_of_sizes(width, layers, chosen)
    else:
        title = str(path)
        found = growth_of_path(path, chosen, pos_head_dim)
    table = Table(title=f"{title}: parameters in all, beside the frozen model, for so many tasks")
    table.add_column("method")
    for tasks in found.tasks:
        table.add_column(f"{tasks:,}", justify="right")
    for label, parameters in found.methods.items():
        table.add_row(label, *(f"{count:,}" for count in parameters))
    print_whole(table)
