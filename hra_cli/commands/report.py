"""`hra report`: an experiment or a comparison as one HTML page."""

from __future__ import annotations

from pathlib import Path

import typer

from hra_cli.commands.terminal import say


def report(
    exp_dir: Path = typer.Argument(..., help="Folder of `hra train` or `hra compare`."),
    output: Path = typer.Option(..., help="The HTML file to write."),
) -> None:
    """Show an experiment or a comparison as one HTML page: figures, tables, worst utterances."""
    from hra_cli.report.write import write_report

    say(write_report(exp_dir, output))
