"""JSON and YAML into dataclasses. pydantic checks every field, so that a damaged file is one clear line."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast

from hra_cli.errors import HraError

Kind = TypeVar("Kind")
_DEEPEST = 30  # levels of YAML; ours has five


def read_json(file: Path, kind: type[Kind], remedy: str) -> Kind:
    """A JSON file as a `kind`: a dataclass, or whatever pydantic takes. See `parse_json`."""
    return parse_json(read_text(file, remedy), kind, str(file), remedy)


def read_yaml(file: Path, kind: type[Kind], remedy: str) -> Kind:
    """A YAML file as a `kind`: a dataclass, or whatever pydantic takes. See `parse_json`."""
    import yaml

    text = read_text(file, remedy)
    try:
        _refuse_growth(yaml.parse(text, Loader=yaml.SafeLoader))
        content = json.dumps(yaml.safe_load(text))  # so that the same checks hold for it
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise HraError(f"{file} is damaged: it is no plain YAML; {remedy}") from error
    return parse_json(content, kind, str(file), remedy)


def parse_json(
    text: Union[str, bytes], kind: type[Kind], what: str, remedy: str, unknown: Literal["forbid", "ignore"] = "forbid"
) -> Kind:
    """JSON text as a `kind`; nothing is converted, missing fields are errors, and so are unknown ones unless ignored.

    Raises HraError that begins with `what` (a file, say) and ends with `remedy`; and those of the dataclass itself.
    """
    from pydantic import ValidationError

    try:
        parsed: Kind = _adapter(cast(Any, kind)).validate_json(text, strict=True, extra=unknown)
        return parsed
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        found = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise HraError(f"{what} is damaged: {' '.join(found.split())[:300]}; {remedy}") from error
    except HraError as error:
        raise HraError(f"{what}: {error}") from error


def check_numbers(document: object, but: Collection[str] = ()) -> None:
    """For a dataclass's __post_init__: raises ValueError for a number in it that is not finite, or counts less than 0.

    Numbers in its dictionaries too. but: fields that may hold any number.
    """
    for name, value in vars(document).items():
        for number in value.values() if isinstance(value, dict) else (value,):
            negative = isinstance(number, int) and number < 0
            if name not in but and (negative or (isinstance(number, float) and not math.isfinite(number))):
                raise ValueError(f"{name} is {number}")


def _refuse_growth(events: Iterable[Any]) -> None:
    """Raises ValueError for YAML that takes much more time or memory than its size: aliases, and deep nesting."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent")
        depth -= name.endswith("EndEvent")
        if name == "AliasEvent" or depth > _DEEPEST:
            raise ValueError("aliases, or nested too deep")


def read_text(file: Path, remedy: str) -> str:
    """A UTF-8 file's text. Raises HraError where it is missing, unreadable or not text."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise HraError(f"{file} is damaged: it is no text in UTF-8; {remedy}") from error
    except OSError as error:
        raise HraError(f"cannot read {file}: {error.strerror or error}; {remedy}") from error


@functools.cache
def _adapter(kind: Any) -> Any:
    # Not above: half the time of `hra --help`.
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of what a JSON file such as tasks.json holds, but for this itself."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
