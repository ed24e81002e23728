"""What `hra prepare` shows of a data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hra_cli.commands.terminal import say

if TYPE_CHECKING:
    from hra_cli.data.task_index import Split, TaskIndex


def print_tables(index: TaskIndex) -> None:
    from itertools import chain

    from rich.table import Table

    from hra_cli.commands.tables import PlainConsole
    from hra_cli.data.skipped import SKIPPED_NAME
    from hra_cli.data.splits import SPLITS
    from hra_cli.data.transcripts import advice
    from hra_cli.io.few_rows import few_of

    console = PlainConsole()
    table = Table("task", "split")
    for name in ("utterances", "minutes", "words"):
        table.add_column(name, justify="right")
    entries = [entry for splits in index.tasks.values() for entry in splits.values()]
    rows = [[(task, split, *_cells([entry])) for split, entry in index.splits(task).items()] for task in index.names]
    for row in chain.from_iterable(few_of(rows, lambda more: [(more,)])):
        table.add_row(*row)
    table.add_section()
    table.add_row(f"{len(index.names)} tasks", "", *_cells(entries))
    console.print(table)
    for split in SPLITS:
        lacking = index.without_split(split)
        if lacking:
            say(f"without {split}, since they have too few utterances or none of it: {_listed(lacking)}")
    if index.skipped:
        table = Table("skipped because")
        table.add_column("utterances", justify="right")
        for reason, count in index.skipped.items():
            table.add_row(reason, str(count))
        console.print(table)
        say(f"each one is listed in {index.data_dir / SKIPPED_NAME}")
        form = advice(index.skipped, sum(entry.utterances for entry in entries) + sum(index.skipped.values()))
        if form:
            say(form)


def _cells(entries: list[Split]) -> list[str]:
    """Utterances, minutes and words in all."""
    utterances, words = (sum(getattr(entry, name) for entry in entries) for name in ("utterances", "words"))
    return [str(utterances), f"{sum(entry.seconds for entry in entries) / 60:.1f}", str(words)]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
