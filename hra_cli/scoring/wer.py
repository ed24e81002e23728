"""Word errors of each task and of all tasks together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional

import kaldialign

# Marks the empty side of an aligned pair; a word is never the empty string.
GAP = ""
NO_WER = "–"  # shown where there are no words


@dataclass
class Utterance:
    """One decoded utterance: what was said (`ref`) and what was recognised (`hyp`), word by word, or character by
    character where that is what a recogniser's errors are counted on.

    text: `hyp` as it is shown. tokens: the pieces that it is made of. times: when each of them was emitted, in seconds
    from the utterance's start. All are empty where an utterance is read from a file of results.
    """

    id: str
    task: str
    ref: list[str]
    hyp: list[str]
    text: str = ""
    tokens: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class ErrorCounts:
    """Word errors over `words` reference words."""

    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0
    words: int = 0

    @property
    def errors(self) -> int:
        """Insertions, deletions and substitutions together."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def wer(self) -> Optional[float]:
        """Word error rate in per cent, or None where there are no words to get wrong."""
        return 100.0 * self.errors / self.words if self.words else None

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.words + other.words,
        )


@dataclass(frozen=True)
class Scores:
    """Error counts of all utterances and of every task, tasks sorted by name."""

    total: ErrorCounts
    tasks: dict[str, ErrorCounts]

    def as_json(self) -> dict[str, dict[str, Any]]:
        """`{"total": {"wer", "errors", "words"}, "tasks": {name: the same}}`, WER in per cent, rounded, or None."""
        return {
            "total": _as_json(self.total),
            "tasks": {task: _as_json(counts) for task, counts in self.tasks.items()},
        }


@dataclass(frozen=True)
class BeforeAfter:
    """A task's errors with the frozen model alone (before) and with its head (after), which has `parameters`."""

    task: str
    parameters: int
    before: ErrorCounts
    after: ErrorCounts


def relative_change(before: Optional[float], after: Optional[float]) -> str:
    """The change from `before` to `after` in per cent of `before`, or a dash where `before` is zero or one is None."""
    return f"{100.0 * (after - before) / before:+.1f}" if before and after is not None else NO_WER


def wer_text(wer: Optional[float], digits: int = 2) -> str:
    """A WER in per cent as it is shown: a dash for None, where there were no words."""
    return NO_WER if wer is None else f"{wer:.{digits}f}"


def rounded(wer: Optional[float]) -> Optional[float]:
    """A WER as files hold it."""
    return None if wer is None else round(wer, 2)


def align_words(ref: list[str], hyp: list[str]) -> list[tuple[str, str]]:
    """Pairs of reference and recognised words with the fewest errors; `GAP` stands for no word."""
    pairs: list[tuple[str, str]] = kaldialign.align(ref, hyp, GAP)
    return pairs


def count_errors(ref: list[str], hyp: list[str]) -> ErrorCounts:
    """Word errors of one utterance, counted on its alignment as icefall does."""
    wrong = [(r, h) for r, h in align_words(ref, hyp) if r != h]
    insertions = sum(r == GAP for r, _ in wrong)
    deletions = sum(h == GAP for _, h in wrong)
    return ErrorCounts(insertions, deletions, len(wrong) - insertions - deletions, len(ref))


def score(utterances: Iterable[Utterance]) -> Scores:
    """Counts the word errors of each task and of all together; no utterances give zero counts."""
    tasks: dict[str, ErrorCounts] = {}
    for utterance in utterances:
        so_far = tasks.get(utterance.task, ErrorCounts())
        tasks[utterance.task] = so_far + count_errors(utterance.ref, utterance.hyp)
    return Scores(sum(tasks.values(), ErrorCounts()), dict(sorted(tasks.items())))


def _as_json(counts: ErrorCounts) -> dict[str, Optional[float]]:
    return {"wer": rounded(counts.wer), "errors": counts.errors, "words": counts.words}
