"""Each method over its seeds, and whether it differs from the first method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from hra_cli.comparison.comparison_file import CellRecord, OverSeeds
from hra_cli.scoring.bootstrap import wer_difference
from hra_cli.scoring.results import read_recogs, result_files
from hra_cli.scoring.wer import Utterance


def over_seeds(exp_dir: Path, cells: Sequence[CellRecord], decoding_method: str) -> list[OverSeeds]:
    """A record per method and mode, in the order of `cells`. Raises HraError where test was not decoded."""
    rows: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        rows.setdefault((cell.label, cell.mode), []).append(cell)
    recognised = {
        row: [read_recogs(result_files(exp_dir / cell.folder, "test", decoding_method).recogs) for cell in seeds]
        for row, seeds in rows.items()
    }
    records: list[OverSeeds] = []
    first: dict[str, list[list[Utterance]]] = {}
    for (label, mode), seeds in rows.items():
        wers = [cell.wer for cell in seeds]
        dev_wers = [cell.dev.wer for cell in seeds if cell.dev.wer is not None]
        difference: dict[str, float] = {}
        if mode in first:
            found = wer_difference(recognised[label, mode], first[mode])
            difference = {name: round(value, 2) for name, value in zip(("difference", "low", "high"), found)}
        first.setdefault(mode, recognised[label, mode])
        record = OverSeeds(
            label=label,
            mode=mode,
            seeds=len(seeds),
            parameters_per_task=seeds[0].parameters_per_task,
            wer=round(fmean(wers), 2),
            lowest=min(wers),
            highest=max(wers),
            dev_wer=round(fmean(dev_wers), 2) if dev_wers else None,
            **difference,
        )
        records.append(record)
    return records
