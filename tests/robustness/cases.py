"""One case: a kind of file and a seed, the file damaged by it, and what became of it."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

from robustness.careless import CARELESS
from robustness.kinds import KINDS, Kind
from robustness.mutators import SENTINEL, Mutator
from robustness.outcomes import CHANGED, EXECUTED, HARMLESS, REFUSED, SAME, UNUSED, Outcome, Refused, outcome_of_error
from robustness.samples import Samples

from hra_cli.errors import HraError

BY_NAME = {**{kind.name: kind for kind in KINDS}, **CARELESS}


def kind_of(name: str) -> Kind:
    """The kind of that name; of KIND/MUTATOR, damaged by that mutator only. Raises KeyError where there is none."""
    kind_name, _, mutator_name = name.partition("/")
    kind = BY_NAME[kind_name]
    if not mutator_name:
        return kind
    named = {mutator.__name__: mutator for mutator in kind.mutators}
    return dataclasses.replace(kind, mutators=(named[mutator_name],))


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
        kind = kind_of(name)
        name = kind.name
        if name not in self.undamaged:
            try:
                self.undamaged[name] = kind.read(self._place(kind), self.samples)
            except (HraError, Refused) as error:
                self.undamaged[name] = Outcome(UNUSED, str(error).replace(str(self.here), "…"))
        file = self._place(kind)
        content = damaged(kind, seed, file.read_bytes())
        file.write_bytes(content)
        try:
            outcome = self._compare(kind, kind.read(file, self.samples))
        except Exception as error:  # whatever it is, it is this case's outcome
            outcome = outcome_of_error(error, self._names(file))
        if isinstance(self.undamaged[name], Outcome) and outcome.name == REFUSED:
            outcome = self.undamaged[name]
        created = self._created()
        return Outcome(EXECUTED, f"created {', '.join(created)}; {outcome.detail}") if created else outcome

    def damage(self, name: str, seed: int) -> Path:
        """The damaged file of a case, to look at."""
        file = self._place(kind_of(name))
        file.write_bytes(damaged(kind_of(name), seed, file.read_bytes()))
        return file

    def _place(self, kind: Kind) -> Path:
        shutil.rmtree(self.outer, ignore_errors=True)
        self.here.mkdir(parents=True)
        os.chdir(self.here)
        return kind.place(self.here, self.samples)

    def _compare(self, kind: Kind, after: Any) -> Outcome:
        before = self.undamaged[kind.name]
        if isinstance(before, Outcome):
            return Outcome(CHANGED, f"accepted, while the undamaged file is refused: {before.detail}")
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
    for mutator in _order(kind, seed):
        changed = mutator(content, rng)
        if changed != content:
            return changed
    return content


def _order(kind: Kind, seed: int) -> list[Mutator]:
    """The kind's mutators in an order that a new one among them does not change."""
    counts: collections.Counter[str] = collections.Counter()
    ranked = []
    for mutator in kind.mutators:
        counts[mutator.__name__] += 1  # one that is listed several times is drawn as often
        name = f"{kind.name} {seed} {mutator.__name__} {counts[mutator.__name__]}"
        ranked.append((hashlib.sha256(name.encode()).digest(), mutator))
    return [mutator for _, mutator in sorted(ranked, key=lambda one: one[0])]


def key(outcome: Outcome) -> str:
    """What outcomes of one fault have in common."""
    detail = re.sub(r"/\S+|'[^']*'|\d+", "…", outcome.detail)[:80]
    return f"{outcome.name} {outcome.where or detail}"
