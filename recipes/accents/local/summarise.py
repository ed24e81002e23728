#!/usr/bin/env python3
"""Compares the frozen recogniser with the adapted one, accent by accent, and lists the heads' files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hra_cli.errors import HraError
from hra_cli.scoring.wer import wer_text


def read_scores(path: Path) -> dict:
    """What `hra decode --json` wrote. Raises HraError where there is no such file."""
    if not path.is_file():
        raise HraError(f"{path} is missing; run the stages of run.sh that decode first")
    return json.loads(path.read_text(encoding="utf-8"))


def comparison_table(frozen: dict, adapted: dict, heads: dict[str, Path]) -> Table:
    """A row per accent and one for all: words, WER before and after, its relative reduction, the head's size.

    Raises HraError where the two sides were not scored on the same words.
    """
    table = Table(title="Test set: WER in per cent, frozen model against one head per accent")
    table.add_column("accent")
    for column in ("words", "frozen", "with head", "reduction %"):
        table.add_column(column, justify="right")
    table.add_column("head file", no_wrap=True)
    table.add_column("KB", justify="right")

    sizes = {task: path.stat().st_size for task, path in heads.items()}
    for task, before in frozen["tasks"].items():
        after = adapted["tasks"].get(task)
        if after is None or after["words"] != before["words"]:
            raise HraError(f"'{task}' was not decoded on the same test set before and after; decode both again")
        table.add_row(task, *score_cells(before, after), heads[task].name, kilobytes(sizes[task]))
    table.add_section()
    table.add_row("total", *score_cells(frozen["total"], adapted["total"]), "", kilobytes(sum(sizes.values())))
    return table


def score_cells(before: dict, after: dict) -> list[str]:
    # From the counts: the rates in the file are rounded.
    reduction = f"{100.0 * (1.0 - after['errors'] / before['errors']):.1f}" if before["errors"] else "–"
    return [f"{before['words']:,}", wer_text(before["wer"]), wer_text(after["wer"]), reduction]


def kilobytes(size: int) -> str:
    return f"{size / 1000:.1f}"


def find_heads(directory: Path, tasks: list[str]) -> dict[str, Path]:
    """The exported head file of every task. Raises HraError where one is missing."""
    heads = {task: directory / f"{task}.safetensors" for task in tasks}
    for path in heads.values():
        if not path.is_file():
            raise HraError(f"{path} is missing; run the stages of run.sh before this one first")
    return heads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frozen", type=Path, required=True, help="JSON scores of the frozen model")
    parser.add_argument("--adapted", type=Path, required=True, help="JSON scores with the heads")
    parser.add_argument("--heads-dir", type=Path, required=True, help="exported heads, TASK.safetensors")
    arguments = parser.parse_args()
    try:
        frozen, adapted = read_scores(arguments.frozen), read_scores(arguments.adapted)
        heads = find_heads(arguments.heads_dir, list(frozen["tasks"]))
        table = comparison_table(frozen, adapted, heads)
    except HraError as error:
        print(f"summarise.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    Console().print(table)
    print(f"You now have, in {Path.cwd()}:")
    for path in [*heads.values(), arguments.frozen, arguments.adapted]:
        print(f"  {path}")


if __name__ == "__main__":
    main()
