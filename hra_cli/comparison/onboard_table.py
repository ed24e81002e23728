"""Onboarding as rows of text, and as a part of the Markdown file."""

from __future__ import annotations

from typing import Callable

from hra_cli.comparison.onboard_records import Onboarding, OnboardPoint
from hra_cli.io.markdown import markdown_table

FIRST = ("method", "start", "lr of others", "lr", "per task")  # the columns before those of the shots
MEANING = (
    "WER % on test by the number of utterances that a held-out task is learned from, mean over the seeds, with 95 % "
    "intervals over tasks. Without any, zero is the frozen model, and common what the other tasks have in common"
)
DIFFERENCE = "The same less the first row, with paired 95 % intervals over tasks"


def columns(found: Onboarding) -> list[str]:
    """The headings of both tables."""
    return [*FIRST, *map(str, found.shots)]


def wer_rows(found: Onboarding) -> list[list[str]]:
    """A row per method and start: WER and its interval for every number of shots."""
    return _rows(found, lambda point: f"{point.wer:.1f} ({point.low:.1f} – {point.high:.1f})")


def difference_rows(found: Onboarding) -> list[list[str]]:
    """A row per method and start but the first: how far it is from that one."""

    def shown(point: OnboardPoint) -> str:
        assert point.difference is not None
        return f"{point.difference:+.1f} ({point.difference_low:+.1f} to {point.difference_high:+.1f})"

    return _rows(found, shown, begin=1)


def left_out(found: Onboarding) -> list[str]:
    """A sentence for every number of shots at which tasks are missing."""
    return [
        f"Without {len(one.tasks)} of the held-out tasks at {one.shots}, which have fewer utterances to train on: "
        + ", ".join(f"{task} ({number})" for task, number in one.tasks.items())
        for one in found.left_out
    ]


def onboarding_markdown(found: Onboarding) -> list[str]:
    """The lines of comparison.md."""
    number = sum(map(len, found.folds))
    lines = [
        f"Onboarding: {number} tasks held out in {len(found.folds)} groups, {found.onboard_epochs} passes over the "
        f"utterances of each. {MEANING}:",
        "",
        *markdown_table(columns(found), wer_rows(found), text=2),
        "",
        *(line for sentence in left_out(found) for line in (f"{sentence}.", "")),
    ]
    if len(found.rows) > 1:
        lines += [f"{DIFFERENCE}:", "", *markdown_table(columns(found), difference_rows(found), text=2), ""]
    return lines


def _rows(found: Onboarding, shown: Callable[[OnboardPoint], str], begin: int = 0) -> list[list[str]]:
    rows = []
    for row in found.rows[begin:]:
        points = {point.shots: shown(point) for point in row.points}
        others = "" if row.base_lr is None else f"{row.base_lr:g}"
        cells = [row.label, row.start, others, f"{row.lr:g}", f"{row.parameters_per_task:,}"]
        rows.append([*cells, *(points.get(shots, "") for shots in found.shots)])
    return rows
