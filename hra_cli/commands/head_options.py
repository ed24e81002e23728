"""What head is to be trained, by the options of the commands that train one."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from hra_cli.commands.given import is_given, refuse_useless


def head_to_train(
    context: typer.Context, controller: Optional[Path], start: Optional[str], head: str, inner: int
) -> tuple[Optional[Path], str, int]:
    """The file that onboarded heads start from, if any, and their kind and inner size: those given, or else that of the
    head in it. Raises HraError where it is not there, and for an inner size that has no effect."""

    from hra_cli.adapter.head_file import read_head
    from hra_cli.adapter.head_kinds import KINDS
    from hra_cli.adapter.head_start import find_start

    start_file = None
    if start is not None and controller is not None:
        start_file = find_start(start, controller)
        begun = read_head(start_file)
        head = head if is_given(context, "head") else begun.kind
        inner = inner if is_given(context, "inner") or not begun.inner else begun.inner
    if not KINDS[head].has_inner:
        refuse_useless(context, f"with --head {head}", "inner")
    return start_file, head, inner
