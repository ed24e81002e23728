"""metrics.jsonl: what a run measured, a record per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS_NAME = "metrics.jsonl"


def read_metrics(exp_dir: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl, in order; a last line cut off by a crash is left out."""
    file = exp_dir / METRICS_NAME
    records = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
