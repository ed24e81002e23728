"""comparison.json: what `hra compare` writes, and `hra report` and `hra info` read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hra_cli.errors import HraError
from hra_cli.io.files import write_text

COMPARISON_NAME = "comparison.json"
FORMAT = "hra-comparison"
FORMAT_VERSION = 1


def read_comparison_file(exp_dir: Path) -> dict[str, Any]:
    """What `comparison.json` holds. Raises HraError where it is damaged, of another format or of another version."""
    file = exp_dir / COMPARISON_NAME
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HraError(f"{file} is damaged; run `hra compare` again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise HraError(f"{file} was not written by `hra compare`; give the folder of a comparison")
    if found.get("format_version") != FORMAT_VERSION:
        raise HraError(
            f"{file} has format version {found.get('format_version')}, this hra reads {FORMAT_VERSION}; "
            "use the hra that wrote it"
        )
    return found


def write_comparison_file(exp_dir: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Writes `comparison.json`, whole or not at all, and returns what it holds: `content` and its format."""
    found = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
    write_text(exp_dir / COMPARISON_NAME, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return found
