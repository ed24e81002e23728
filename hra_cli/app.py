"""The `hra` command: subcommands, one error handler, --version."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import warnings
from typing import Any, Optional

import typer

from hra_cli import __version__
from hra_cli.commands import (
    check_export,
    compare,
    decode,
    export_head,
    export_onnx,
    info,
    onboard,
    prepare,
    report,
    train,
)
from hra_cli.commands.subcommands import add_command, new_app
from hra_cli.commands.terminal import flush, say, show_every_character
from hra_cli.errors import INTERRUPTED, MISTAKE, HraError
from hra_cli.nn.memory import keep_freed_memory

# Options that are rarely given have their values here. Without them typer imports pydantic to find out that there is
# none, and help takes half as long again.
NOT_ASKED_FOR = {"help": False, "install_completion": False, "show_completion": False, "prepare": {"help": False}}
# Depending on its version, typer takes this class from click or from its own copy of click.
UsageError: Any = typer.BadParameter.__mro__[1]

app = new_app(
    "hra",
    help="Adapt one frozen k2 speech recogniser to thousands of tasks with Hierarchical Recurrent Adapters.",
    pretty_exceptions_enable=False,
    context_settings={"default_map": NOT_ASKED_FOR},
)
app.add_typer(prepare.app, name="prepare")
add_command(app, "train", train.train)
add_command(app, "onboard", onboard.onboard)
add_command(app, "decode", decode.decode)
add_command(app, "export-head", export_head.export_head)
add_command(app, "export-onnx", export_onnx.export_onnx)
add_command(app, "check-export", check_export.check_export)
add_command(app, "compare", compare.compare)
add_command(app, "info", info.info)
add_command(app, "report", report.report)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"hra {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: Optional[list[str]] = None) -> None:
    """Runs the command line, and ends the process with its exit code.

    arguments: None for those of the process. A user's mistake is one line on standard error and exit code 2; an
    interruption is exit code 130. Where nobody reads the output any more it ends without a word, as typer has it.
    """
    keep_freed_memory()
    show_every_character()
    _silence_libraries()
    status, message = _run(arguments)
    if status == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending already
        message = "interrupted"
    if message:
        with contextlib.suppress(HraError, BrokenPipeError):  # nowhere left to say it
            say(f"hra: {message}", error=True)
    flush()
    sys.exit(status)


def _run(arguments: Optional[list[str]]) -> tuple[int, str]:
    """The exit code, and what is to be said: "" for nothing."""
    try:
        return app(args=arguments, prog_name="hra", standalone_mode=False) or 0, ""
    except HraError as error:
        mistake = str(error)
    except OSError as error:
        mistake = f"{error.filename or 'cannot go on'}: {error.strerror or error}"
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        mistake = "out of memory; smaller sizes, or a smaller --max-duration, take less"
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # which of two packages has it depends on typer's version
            for line in error.format_message().splitlines():
                say(line)
            return MISTAKE, ""
        mistake = _one_line(error)
    except KeyboardInterrupt:
        return INTERRUPTED, ""
    except typer.Abort as error:
        if not isinstance(error.__cause__, EOFError):
            return INTERRUPTED, ""
        mistake = "a file that is read ends too early; copy or make it again"
    return MISTAKE, f"error: {mistake}" if mistake else ""


def _is_out_of_memory(error: Exception) -> bool:
    """torch, which is not imported here, has errors of its own: one for CUDA, and for the CPU only a message."""
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in str(error)


def _silence_libraries() -> None:
    """What lhotse and torch warn of is for developers, who can ask for it with python -W."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


def _one_line(error: Any) -> str:
    """What is wrong with the options, and where to look it up."""
    message = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "hra"
    stop = "" if message.endswith("?") else ";"
    return f"{message[0].lower()}{message[1:]}{stop} see '{command} --help'"
