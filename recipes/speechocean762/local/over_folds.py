"""Puts comparisons of the same methods, each tested on other speakers, together into one table.

Every method's errors are counted over the test utterances of all of them; the interval of its difference from the first
method is paired over these utterances.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from statistics import fmean

from hra_cli.comparison.comparison_file import CellRecord, Comparison, read_comparison_file
from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.io.markdown import markdown_table
from hra_cli.scoring.bootstrap import wer_difference, wer_interval
from hra_cli.scoring.results import read_recogs, result_files
from hra_cli.scoring.wer import Utterance, score

COLUMNS = ("method", "seeds", "per task", "mean WER %", "lowest – highest", "difference", "95 % interval")
Row = tuple[str, str]  # label and mode
Runs = dict[Row, dict[int, list[Utterance]]]  # what was recognised, by seed


def read_fold(exp_dir: Path, found: Comparison) -> tuple[list[Utterance], Runs]:
    """What the frozen model recognised in a comparison's test set, and what every method did."""

    def recognised(folder: str) -> list[Utterance]:
        return read_recogs(result_files(exp_dir / folder, "test", found.config.decoding_method).recogs)

    runs: Runs = {}
    for cell in found.cells:
        runs.setdefault(row_of(cell), {})[cell.seed] = recognised(cell.folder)
    return recognised("frozen"), runs


def row_of(cell: CellRecord) -> Row:
    return cell.label, cell.mode


def together(exp_dirs: list[Path]) -> str:
    """The table. Raises HraError where comparisons differ in more than their data, or share test utterances."""
    comparisons = [read_comparison_file(exp_dir) for exp_dir in exp_dirs]
    for exp_dir, found in zip(exp_dirs, comparisons):
        if dataclasses.replace(found.config, data="") != dataclasses.replace(comparisons[0].config, data=""):
            raise HraError(f"{exp_dir} and {exp_dirs[0]} are comparisons with different options; compare again")
    frozen: list[Utterance] = []
    runs: Runs = {}
    for exp_dir, found in zip(exp_dirs, comparisons):
        of_frozen, of_methods = read_fold(exp_dir, found)
        twice = {one.id for one in frozen} & {one.id for one in of_frozen}
        if twice:
            raise HraError(f"{exp_dir}: utterance '{min(twice)}' is also tested on in another; give each of them once")
        frozen += of_frozen
        for row, seeds in of_methods.items():
            for seed, utterances in seeds.items():
                runs.setdefault(row, {}).setdefault(seed, []).extend(utterances)
    low, high = wer_interval(frozen)
    lines = [
        f"{len(comparisons)} comparisons together: {len(frozen)} test utterances, "
        f"{sum(len(one.ref) for one in frozen)} words. The frozen model: {wer(frozen):.1f} %, {low:.1f} – {high:.1f}. "
        "The difference is to the first method; its interval is paired, over test utterances.",
        "",
    ]
    rows = []
    parameters = {row_of(cell): cell.parameters_per_task for cell in comparisons[0].cells}
    first = next(iter(runs.values()))
    for (label, mode), seeds in runs.items():
        wers = [wer(utterances) for utterances in seeds.values()]
        cells = [label, str(len(seeds)), f"{parameters[label, mode]:,}", f"{fmean(wers):.1f}"]
        cells += [f"{min(wers):.1f} – {max(wers):.1f}", "", ""]
        if seeds is not first:
            difference, low, high = wer_difference(list(seeds.values()), list(first.values()))
            cells[-2:] = [f"{difference:+.1f}", f"{low:+.1f} to {high:+.1f}"]
        rows.append(cells)
    return "\n".join([*lines, *markdown_table(COLUMNS, rows)]) + "\n"


def wer(utterances: list[Utterance]) -> float:
    counts = score(utterances).total
    return 100.0 * counts.errors / counts.words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", type=Path, nargs="+", help="folders of `hra compare`")
    parser.add_argument("--output", type=Path, required=True, help="the Markdown file to write")
    arguments = parser.parse_args()
    try:
        write_text(arguments.output, together(arguments.comparisons))
    except HraError as error:
        print(f"over_folds.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
