"""The `hra` command: subcommands, one error handler, --version."""

from __future__ import annotations

import sys
from typing import Any, Optional

import typer

from hra_cli import __version__
from hra_cli.commands import compare, decode, export_head, info, prepare, report, train
from hra_cli.errors import INTERRUPTED, MISTAKE, HraError
from hra_cli.nn.memory import keep_freed_memory

# Options that are rarely given have their values here. Without them typer imports pydantic to find out that there is
# none, and help takes half as long again.
NOT_ASKED_FOR = {"help": False, "install_completion": False, "show_completion": False, "prepare": {"help": False}}
# Depending on its version, typer takes this class from click or from its own copy of click.
UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="hra",
    help="Adapt one frozen k2 speech recogniser to thousands of tasks with Hierarchical Recurrent Adapters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"default_map": NOT_ASKED_FOR},
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
    """Runs the command line, and ends the process with its exit code.

    arguments: None for those of the process. A user's mistake is one line on standard error and exit code 2; an
    interruption is exit code 130.
    """
    keep_freed_memory()
    mistake = ""
    try:
        status = app(args=arguments, prog_name="hra", standalone_mode=False)
    except HraError as error:
        status, mistake = MISTAKE, str(error)
    except OSError as error:
        status, mistake = MISTAKE, f"{error.filename or 'a file'}: {error.strerror or error}"
    except UsageError as error:
        status, mistake = MISTAKE, _one_line(error)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if mistake:
        typer.echo(f"hra: error: {mistake}", err=True)
    elif status == INTERRUPTED:
        typer.echo("hra: interrupted", err=True)
    sys.exit(status or 0)


def _one_line(error: Any) -> str:
    """What is wrong with the options, and where to look it up. Empty where none were given: help has been shown."""
    message = " ".join(error.format_message().split()).rstrip(".")
    if not message:
        return ""
    command = error.ctx.command_path if error.ctx else "hra"
    stop = "" if message.endswith("?") else ";"
    return f"{message[0].lower()}{message[1:]}{stop} see '{command} --help'"


if __name__ == "__main__":
    main()
