"""Options that were given on the command line, as against those that have their default."""

from __future__ import annotations

import typer

from hra_cli.errors import HraError


def refuse_useless(context: typer.Context, where: str, *names: str) -> None:
    """Raises HraError for one of the options, named as Python variables, that was given: it has no effect.

    where: the end of that sentence, such as "with --no-heads".
    """
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise HraError(f"{option.opts[0]} has no effect {where}; leave it out")
