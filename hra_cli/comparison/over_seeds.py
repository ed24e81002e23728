"""Each method over its seeds, and whether it differs from the first method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hra_cli.scoring.bootstrap import wer_difference
from hra_cli.scoring.results import read_recogs, result_files
from hra_cli.scoring.wer import Utterance


def over_seeds(exp_dir: Path, cells: Sequence[dict[str, Any]], decoding_method: str) -> list[dict[str, Any]]:
    """A record per method and mode, in the order of `cells`, which are those of `comparison.json`.

    wer, lowest, highest, dev_wer: in per cent, the mean over the seeds and its range, on test and on dev. difference,
    low, high: its mean WER less that of the first method in the same mode, with a paired 95 % bootstrap interval over
    test utterances; the first method itself has none. Raises HraError where test was not decoded.
    """
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault((cell["label"], cell["mode"]), []).append(cell)
    recognised = {
        row: [read_recogs(result_files(exp_dir / cell["folder"], "test", decoding_method).recogs) for cell in seeds]
        for row, seeds in rows.items()
    }
    records = []
    first: dict[str, list[list[Utterance]]] = {}
    for (label, mode), seeds in rows.items():
        wers = [cell["wer"] for cell in seeds]
        record = {
            "label": label,
            "mode": mode,
            "seeds": len(seeds),
            "parameters_per_task": seeds[0]["parameters_per_task"],
            "wer": round(fmean(wers), 2),
            "lowest": min(wers),
            "highest": max(wers),
            "dev_wer": round(fmean(cell["dev"]["wer"] for cell in seeds), 2),
        }
        if mode in first:
            found = wer_difference(recognised[label, mode], first[mode])
            record.update((name, round(value, 2)) for name, value in zip(("difference", "low", "high"), found))
        first.setdefault(mode, recognised[label, mode])
        records.append(record)
    return records
