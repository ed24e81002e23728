"""One case: a kind of file and a seed, the file damaged by it, and what became of it."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

from robustness.careless import CARELESS
from robustness.kinds import KINDS, Kind
from robustness.mutators import SENTINEL
from robustness.outcomes import CHANGED, EXECUTED, HARMLESS, SAME, UNUSED, Outcome, Refused, outcome_of_error
from robustness.samples import Samples

from hra_cli.errors import HraError

BY_NAME = {**{kind.name: kind for kind in KINDS}, **CARELESS}


class Workshop:
    """Where cases are run: a folder that is empty before each, and the results of undamaged files.

    The process works in `folder`/here, and in nothing else may anything appear.
    """

    def __init__(self, folder: Path, samples: Samples):
        self.here = folder / "a" / "b" / "here"
        self.outer = folder
        self.samples = samples
        self.undamaged: dict[str, Any] = {}

    def run(self, name: str, seed: int) -> Outcome:
        """Runs one case."""
        kind = BY_NAME[name]
        if name not in self.undamaged:
            try:
                self.undamaged[name] = kind.read(self._place(kind), self.samples)
            except (HraError, Refused) as error:
                self.undamaged[name] = Outcome(UNUSED, str(error).replace(str(self.here), "…"))
        if isinstance(self.undamaged[name], Outcome):
            return self.undamaged[name]
        file = self._place(kind)
        content = damaged(kind, seed, file.read_bytes())
        file.write_bytes(content)
        try:
            outcome = self._compare(kind, kind.read(file, self.samples))
        except Exception as error:  # whatever it is, it is this case's outcome
            outcome = outcome_of_error(error, self._names(file))
        created = self._created()
        return Outcome(EXECUTED, f"created {', '.join(created)}; {outcome.detail}") if created else outcome

    def damage(self, name: str, seed: int) -> Path:
        """The damaged file of a case, to look at."""
        file = self._place(BY_NAME[name])
        file.write_bytes(damaged(BY_NAME[name], seed, file.read_bytes()))
        return file

    def _place(self, kind: Kind) -> Path:
        shutil.rmtree(self.outer, ignore_errors=True)
        self.here.mkdir(parents=True)
        os.chdir(self.here)
        return kind.place(self.here, self.samples)

    def _compare(self, kind: Kind, after: Any) -> Outcome:
        before = self.undamaged[kind.name]
        if repr(after) == repr(before):  # by their text, in which NaN is NaN
            return Outcome(SAME)
        reason = kind.harmless(before, after)
        if reason:
            return Outcome(HARMLESS, reason)
        shown, other = repr(before), repr(after)
        at = next((at for at, (one, two) in enumerate(zip(shown, other)) if one != two), min(len(shown), len(other)))
        return Outcome(CHANGED, f"{shown[max(0, at - 40) : at + 60]} became {other[max(0, at - 40) : at + 60]}")

    def _names(self, file: Path) -> list[str]:
        # A file by its name or its folder, a manifest's line by its cut; where the name itself is the case, anything.
        return [""] if file.name == "name.txt" else [file.name, str(self.here), "cut '", "cut ids"]

    def _created(self) -> list[str]:
        """What there is besides the folder that the case works in, and what may only be there if a command ran."""
        expected = {self.outer / "a", self.outer / "a" / "b", self.here}
        beside = [path for folder in (self.outer, *expected - {self.here}) for path in folder.iterdir()]
        found = [path for path in beside if path not in expected]
        return [str(path) for path in (*found, *self.here.rglob(f"{SENTINEL}*"))]


def damaged(kind: Kind, seed: int, content: bytes) -> bytes:
    """The content as the case (kind, seed) damages it."""
    rng = random.Random(f"{kind.name} {seed}")
    for _ in range(20):
        changed = rng.choice(kind.mutators)(content, rng)
        if changed != content:
            return changed
    return content


def key(outcome: Outcome) -> str:
    """What outcomes of one fault have in common."""
    detail = re.sub(r"/\S+|'[^']*'|\d+", "…", outcome.detail)[:80]
    return f"{outcome.name} {outcome.where or detail}"
