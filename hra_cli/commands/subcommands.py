"""Commands and groups of them, with help that is plain text.

Typer's other help, by rich, cuts the names of options on 80 columns, and takes [@REVISION] for markup.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Depending on its version, typer takes these classes from click or from its own copy of click.
_Context: Any = TyperCommand.context_class
_Formatter: Any = _Context.formatter_class
_NO_BREAK = "\u2011"  # a hyphen at which no line ends


class _WholeNames(_Formatter):  # type: ignore[misc]
    """Ends no line within --chunk-size or hra-ffn."""

    def write_dl(self, rows: Sequence[tuple[str, str]], *arguments: Any, **options: Any) -> None:
        rows = [(name, text.replace("-", _NO_BREAK)) for name, text in rows]
        super().write_dl(rows, *arguments, **options)

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _NO_BREAK))

    def getvalue(self) -> str:
        return str(super().getvalue()).replace(_NO_BREAK, "-")


class _HelpContext(_Context):  # type: ignore[misc]
    formatter_class = _WholeNames


class _Command(TyperCommand):
    context_class = _HelpContext


class _Group(TyperGroup):
    context_class = _HelpContext


def new_app(name: str, help: str, **options: Any) -> typer.Typer:
    """A group of commands, which shows its help where none is given. options: of typer's."""
    return typer.Typer(
        name=name, help=help, short_help=help, cls=_Group, no_args_is_help=True, rich_markup_mode=None, **options
    )


def add_command(app: typer.Typer, name: str, function: Callable[..., None]) -> None:
    """Makes a function a command. The list of commands has the first paragraph of its docstring, not cut short."""
    paragraph = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    app.command(name, short_help=paragraph, cls=_Command)(function)
