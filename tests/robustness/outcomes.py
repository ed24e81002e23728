"""What became of a damaged file, and hra run in this process so that it can be told."""

from __future__ import annotations

import contextlib
import io
import os
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from hra_cli import app
from hra_cli.errors import MISTAKE, HraError

REFUSED = "refused"  # with one line that names the file
SAME = "same"  # accepted, with the result of the undamaged file
HARMLESS = "harmless"  # accepted with another result, which the kind of file explains
CHANGED = "changed"  # accepted with another result
UNCLEAR = "unclear"  # refused with no line, with several, or with one that names neither the file nor its folder
TRACEBACK = "traceback"
CRASH = "crash"  # a signal
HANG = "hang"
MEMORY = "memory"
EXECUTED = "executed"  # what the file says was run, or a file was written elsewhere
UNUSED = "unused"  # refused, as the undamaged file is, such as where a decoder is missing
RAW = "raw"  # control characters of the file reached the terminal, or markup of it a page
GOOD = (REFUSED, SAME, HARMLESS, UNUSED)
OUTCOMES = (*GOOD, CHANGED, UNCLEAR, TRACEBACK, CRASH, HANG, MEMORY, EXECUTED, RAW)

# Made once: typer takes a tenth of a second for it.
app.app = typer.main.get_command(app.app)
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202e]")
_BARS = ("reading audio", "training", "decoding", "learning rates", "chosen cells", "without a ")


@dataclass(frozen=True)
class Outcome:
    """name: one of OUTCOMES. detail: the line of the refusal, or what is wrong; where: file and line of an error."""

    name: str
    detail: str = ""
    where: str = ""

    @property
    def good(self) -> bool:
        return self.name in GOOD


class _Terminal(io.StringIO):
    """What is written to it is all that would reach a terminal: for anything else, control characters are filtered."""

    def isatty(self) -> bool:
        return True


class Refused(Exception):
    """A command ended with one line and exit code 2."""


class Bad(Exception):
    """A command did what no command may. Its arguments are those of an Outcome."""


def hra(*arguments: object) -> str:
    """Runs hra in this process; what it printed. Raises Refused, Bad, or whatever left the program as a traceback."""
    out, err = _Terminal(), _Terminal()
    status: Any = 0
    os.environ.update(TERM="dumb", COLUMNS="300")  # so that there are no colours and bars of its own, and no folding
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
    for shown in (out.getvalue(), err.getvalue()):
        if found := _CONTROL.search(shown):
            raise Bad(RAW, f"{found.group()!r} on the terminal: {shown[max(0, found.start() - 60) :][:120]!r}")
    lines = [line for line in err.getvalue().splitlines() if line.strip() and not line.startswith(_BARS)]
    if status == MISTAKE:
        if len(lines) != 1 or not lines[0].startswith("hra: error: "):
            raise Bad(UNCLEAR, " | ".join(lines)[:300] or "exit code 2 without a line")
        raise Refused(lines[0].removeprefix("hra: error: "))
    if status:
        raise Bad(TRACEBACK, f"exit code {status}: {' | '.join(lines)[:200]}", f"hra {arguments[0]}")
    return out.getvalue()


def outcome_of_error(error: BaseException, names: list[str]) -> Outcome:
    """What an error of reading a file is to its user; names: one of them must be in the line of a refusal."""
    if isinstance(error, Bad):
        return Outcome(*error.args)
    if isinstance(error, (HraError, Refused)) or (isinstance(error, OSError) and error.filename):
        line = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        if "\n" in line or not line.strip():
            return Outcome(UNCLEAR, repr(line[:300]))
        if not any(name in line for name in names):
            return Outcome(UNCLEAR, f"does not name the file: {line[:300]}")
        return Outcome(REFUSED, line)
    where = _where(error)
    detail = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return Outcome(MEMORY, detail, where)
    return Outcome(TRACEBACK, detail, where)


def _where(error: BaseException) -> str:
    """The last line of hra_cli that the error passed, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "hra_cli" in frame.filename]
    shown = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return " > ".join(dict.fromkeys(shown))
