"""The table of comparisons with different numbers of speakers: every method's parameters and WER."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean, quantiles

from hra_cli.comparison.comparison_file import CellRecord, Comparison, read_comparison_file
from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.io.markdown import markdown_table

COLUMNS = ("method", "speakers", "per task", "shared", "in all", "mean WER %", "difference", "95 % interval")


def table(comparisons: list[Comparison]) -> list[str]:
    """Each method in every comparison, the one with the fewest speakers first; also the WER of these speakers alone,
    which shows what others' data are worth to them."""
    ordered = sorted(comparisons, key=lambda found: len(found.tasks))
    few = ordered[0].tasks
    columns = [*COLUMNS, f"of the {len(few)} alone"]
    rows = []
    for found in ordered:
        speakers = str(len(found.tasks))
        of_frozen = [counts for task, counts in found.frozen.tasks.items() if task in few]
        frozen = 100.0 * sum(one.errors for one in of_frozen) / max(sum(one.words for one in of_frozen), 1)
        rows.append(["frozen", speakers, "0", "0", "0", f"{found.frozen.wer:.1f}", "", "", f"{frozen:.1f}"])
        for record in found.over_seeds:
            cells = [cell for cell in found.cells if (cell.label, cell.mode) == (record.label, record.mode)]
            sizes = (cells[0].parameters_per_task, cells[0].parameters_shared, cells[0].parameters_in_all)
            difference = ["", ""]
            if record.difference is not None:
                difference = [f"{record.difference:+.1f}", f"{record.low:+.1f} to {record.high:+.1f}"]
            of_few = fmean(wer_of(cell, few) for cell in cells)
            row = [record.label, speakers, *(f"{size:,}" for size in sizes), f"{record.wer:.1f}"]
            rows.append([*row, *difference, f"{of_few:.1f}"])
    return markdown_table(columns, rows)


def wer_of(cell: CellRecord, tasks: list[str]) -> float:
    """In per cent, over all words of these tasks."""
    counts = [cell.tasks[task] for task in tasks]
    return 100.0 * sum(one.errors for one in counts) / max(sum(one.words for one in counts), 1)


def spread(frozen: Path) -> str:
    """How the speakers' WER with the frozen model is spread, from its wer.json."""
    tasks = json.loads(frozen.read_text(encoding="utf-8"))["tasks"]
    wers = sorted(counts["wer"] for counts in tasks.values() if counts["wer"] is not None)
    tenths = quantiles(wers, n=10) if len(wers) > 1 else wers * 9
    return (
        f"WER % of {len(wers)} speakers with the frozen model: lowest {wers[0]:.0f}, a tenth of them up to "
        f"{tenths[0]:.0f}, half up to {tenths[4]:.0f}, nine tenths up to {tenths[8]:.0f}, highest {wers[-1]:.0f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", type=Path, nargs="*", help="folders of `hra compare`")
    parser.add_argument("--frozen", type=Path, required=True, help="JSON scores of the frozen model, all speakers")
    parser.add_argument("--output", type=Path, required=True, help="the Markdown file to write")
    arguments = parser.parse_args()
    try:
        if not arguments.frozen.is_file():
            raise HraError(f"{arguments.frozen} is missing; run the stages of run.sh before this one first")
        lines = [spread(arguments.frozen), ""]
        if arguments.comparisons:
            lines += [
                "Parameters per task, shared by all, and in all. The difference is to the first method; its interval "
                "is paired, over test utterances.",
                "",
                *table([read_comparison_file(folder) for folder in arguments.comparisons]),
            ]
        write_text(arguments.output, "\n".join(lines) + "\n")
    except HraError as error:
        print(f"over_tasks.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
