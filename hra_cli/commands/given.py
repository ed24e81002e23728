"""Options that were given on the command line, as against those that have their default."""

from __future__ import annotations

from typing import Optional, TypeVar

import typer

from hra_cli.errors import HraError

Given = TypeVar("Given")


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the option, named as a Python variable, was given."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_useless(context: typer.Context, where: str, *names: str) -> None:
    """Raises HraError for one of the options, named as Python variables, that was given: it has no effect.

    where: the end of that sentence, such as "with --no-heads".
    """
    for option in context.command.params:
        if option.name in names and is_given(context, option.name or ""):
            raise HraError(f"{option.opts[0]} has no effect {where}; leave it out")


def needed(value: Optional[Given], option: str, when: str) -> Given:
    """The value of an option that is needed only at times. Raises HraError where it was not given."""
    if value is None:
        raise HraError(f"{option} is missing, {when}; see --help")
    return value
