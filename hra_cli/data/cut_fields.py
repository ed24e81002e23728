"""What is said of a cut: its speaker, a field, a line in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from lhotse.cut import Cut

from hra_cli.errors import HraError
from hra_cli.io.text_lines import refuse_another, text_lines

# Fields that lhotse has a place of its own for.
OWN_FIELDS = ("speaker", "gender", "language")
FORMS = "speaker, gender, language, the name of a field or column (custom.FIELD), constant:NAME, file:FILE"


@dataclass(frozen=True)
class CutField:
    """How to look it up. spec: as it was asked for. own: name of one of lhotse's own fields; name: of any other.
    constant: of all cuts. lines: by utterance."""

    spec: str
    own: str = ""
    name: str = ""
    constant: str = ""
    lines: Optional[Mapping[str, str]] = None

    def of(self, cut: Cut) -> Optional[str]:
        """What is said of a cut with one supervision; None where nothing is. Fields are looked for on the supervision,
        then on the cut; lines by the cut's id, then the supervision's."""
        supervision = cut.supervisions[0]
        if self.constant:
            return self.constant
        if self.lines is not None:
            return self.lines.get(cut.id, self.lines.get(supervision.id))
        if self.own:
            return _as_name(getattr(supervision, self.own))
        found = _as_name((supervision.custom or {}).get(self.name))
        return _as_name((cut.custom or {}).get(self.name)) if found is None else found


def put_field(content: dict[str, Any], name: str, value: str) -> None:
    """Says something of a cut, as `Cut.to_dict` gives it, whatever else the cut or its supervisions say of it."""
    supervisions = content.get("supervisions")
    for one in (content, *(supervisions if isinstance(supervisions, list) else ())):
        if isinstance(one, dict) and isinstance(one.get("custom"), dict):
            one["custom"] = {key: other for key, other in one["custom"].items() if key != name}
    content["custom"] = {**(content.get("custom") or {}), name: value}


def parse_field(spec: str, option: str) -> CutField:
    """From its form on the command line, see `FORMS`.

    Raises HraError that names `option` for any other form, and where a file cannot be read or has a line that is not
    `utterance value`, or two for one utterance.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "constant" and colon and rest:
        return CutField(spec, constant=rest)
    if kind == "file" and colon and rest:
        return CutField(spec, lines=_lines(Path(rest), option))
    name = spec.removeprefix("custom.")
    if not name or (kind in ("constant", "file") and colon):
        raise HraError(f"{option} {spec!r} is none of: {FORMS}")
    return CutField(spec, own=spec) if spec in OWN_FIELDS else CutField(spec, name=name)


def fields_of(cuts: Iterable[Cut]) -> set[str]:
    """The names of the fields that some of the cuts have."""
    names: set[str] = set()
    for cut in cuts:
        names.update(cut.custom or ())
        for supervision in cut.supervisions:
            names.update(supervision.custom or ())
            names.update(name for name in OWN_FIELDS if getattr(supervision, name) is not None)
    return names


def _as_name(value: object) -> Optional[str]:
    # What is no name, such as a list or an array, is none.
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None


def _lines(file: Path, option: str) -> dict[str, str]:
    if not os.path.isfile(file):  # also where the name is too long
        raise HraError(f"{option}: no such file: {file}; give one with a line `utterance value` each")
    found: dict[str, str] = {}
    for number, line in text_lines(file, "give a text file with a line `utterance value` each"):
        line = line.strip()
        # An utterance may be called as its file, in whose name there may be spaces: those need a tab.
        words = line.split("\t" if "\t" in line else None, 1)
        if not words:
            continue
        if len(words) == 1:
            raise HraError(f"{file}, line {number}: there is nothing after '{words[0]}'; write `utterance value`")
        id_, value = words[0].strip(), words[1].strip()
        refuse_another(file, number, id_, value, found.setdefault(id_, value))
    return found
