"""The `hra` command: subcommands, one error handler, --version."""

from __future__ import annotations

import sys
from typing import Optional

import typer

from hra_cli import __version__
from hra_cli.commands import compare, decode, export_head, info, prepare, report, train
from hra_cli.errors import HraError
from hra_cli.nn.memory import keep_freed_memory

app = typer.Typer(
    name="hra",
    help="Adapt one frozen k2 speech recogniser to thousands of tasks with Hierarchical Recurrent Adapters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(prepare.app, name="prepare")
app.command("train")(train.train)
app.command("decode")(decode.decode)
app.command("export-head")(export_head.export_head)
app.command("compare")(compare.compare)
app.command("info")(info.info)
app.command("report")(report.report)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hra {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: Optional[list[str]] = None) -> None:
    """Runs the command line. A user's mistake is one line on standard error and exit code 2."""
    keep_freed_memory()
    try:
        app(args=arguments)
    except HraError as error:
        typer.echo(f"hra: error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("hra: interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
