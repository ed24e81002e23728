"""Word error rates as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from hra_cli.io.few_rows import FEW, ends_by, few_of
from hra_cli.scoring.wer import BeforeAfter, ErrorCounts, Scores, relative_change, wer_text

if TYPE_CHECKING:
    from hra_cli.training.many_tasks import OnboardResult


def wer_table(scores: Scores, title: str) -> Table:
    """One row per task with its words, kinds of errors and WER, and a row for all of them; of many tasks those with the
    lowest and the highest WER."""
    table = Table(title=title)
    table.add_column("task")
    for column in ("words", "ins", "del", "sub", "errors", "WER %"):
        table.add_column(column, justify="right")
    rows = ends_by(list(scores.tasks.items()), lambda row: row[1].wer)
    for cells in few_of([[task, *_counts_cells(counts)] for task, counts in rows], lambda more: [more]):
        table.add_row(*cells)
    table.add_section()
    table.add_row("total", *_counts_cells(scores.total))
    return table


def before_after_table(rows: list[BeforeAfter], title: str) -> Table:
    """One row per task, in the given order, with WER before and after adaptation, and a row for all of them; of many
    tasks those with the lowest and the highest WER after it.

    The last column is the relative change of WER in per cent: negative is better.
    """
    table = Table(title=title)
    table.add_column("task")
    for column in ("parameters", "words", "frozen WER %", "with head WER %", "change %"):
        table.add_column(column, justify="right")
    ends = ends_by(rows, lambda row: row.after.wer)
    for cells in few_of([_before_after_cells(row) for row in ends], lambda more: [more]):
        table.add_row(*cells)
    total = BeforeAfter(
        "total",
        sum(row.parameters for row in rows),
        sum((row.before for row in rows), ErrorCounts()),
        sum((row.after for row in rows), ErrorCounts()),
    )
    table.add_section()
    table.add_row(*_before_after_cells(total))
    return table


def _counts_cells(counts: ErrorCounts) -> list[str]:
    numbers = (counts.words, counts.insertions, counts.deletions, counts.substitutions, counts.errors)
    return [f"{number:,}" for number in numbers] + [wer_text(counts.wer)]


def _before_after_cells(row: BeforeAfter) -> list[str]:
    return [
        row.task,
        f"{row.parameters:,}",
        f"{row.before.words:,}",
        wer_text(row.before.wer),
        wer_text(row.after.wer),
        relative_change(row.before.wer, row.after.wer),
    ]


def onboarded_tables(result: OnboardResult) -> list[Table]:
    """The tasks with the highest and the lowest WER on dev, and those that have no head, with the reason; those
    without rows are left out."""
    tables = []
    measured = [one for one in result.onboarded if one.wer_after is not None]
    measured.sort(key=lambda one: (-(one.wer_after or 0.0), one.task))
    halves = {"dev, highest WER": measured[:FEW], "dev, lowest WER": measured[-FEW:]}
    if len(measured) <= 2 * FEW:
        halves = {"dev": measured}
    for title, rows in halves.items():
        table = Table(title=title)
        table.add_column("task")
        for column in ("utterances", "words", "frozen WER %", "with head WER %", "change %"):
            table.add_column(column, justify="right")
        for one in rows:
            wers = (wer_text(one.wer_before), wer_text(one.wer_after), relative_change(one.wer_before, one.wer_after))
            table.add_row(one.task, f"{one.utterances:,}", f"{one.words:,}", *wers)
        tables.append(table)
    failed = Table("task", "reason", title="without a head")
    for task, reason in list(result.failed.items())[:FEW]:
        failed.add_row(task, reason)
    if len(result.failed) > FEW:
        failed.add_row(f"… {len(result.failed) - FEW:,} more", "")
    return [table for table in (*tables, failed) if table.row_count]
