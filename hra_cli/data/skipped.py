"""What cannot be used: named, counted by reason, and listed in a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hra_cli.io.files import write_text

SKIPPED_NAME = "skipped.tsv"


@dataclass(frozen=True)
class Skipped:
    """One utterance or file that cannot be used: `reason` is the same for all of a kind, `detail` its own."""

    id: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


def write_skipped(path: Path, skipped: Iterable[Skipped]) -> None:
    """One line each, tab-separated, under a header."""
    rows = [("id", "reason", "detail"), *((one.id, one.reason, one.detail) for one in skipped)]
    write_text(path, "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows))
