"""One decoding's result files, in the formats of icefall's `store_transcripts` and `write_error_stats`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Optional

from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.scoring.wer import GAP, NO_WER, Scores, Utterance, align_words, score, wer_text

# Control characters, among them those that end a line or an id, and what is no character.
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class ResultFiles:
    """Where the transcripts, the errors in detail and the WER of every task were written."""

    recogs: Path
    errs: Path
    wer_summary: Path


@dataclass(frozen=True)
class Confusions:
    """How often a word was right, taken for another one (reference, recognised), left out, or put in."""

    correct: Counter[str]
    substituted: Counter[tuple[str, str]]
    deleted: Counter[str]
    inserted: Counter[str]


def result_files(directory: Path, split: str, suffix: str) -> ResultFiles:
    """The paths of the files that `write_results` writes."""
    name = f"{split}-{suffix}.txt"
    return ResultFiles(
        recogs=directory / f"recogs-{name}",
        errs=directory / f"errs-{name}",
        wer_summary=directory / f"wer-summary-{name}",
    )


def write_results(directory: Path, split: str, suffix: str, utterances: Iterable[Utterance]) -> ResultFiles:
    """Writes `recogs-`, `errs-` and `wer-summary-{split}-{suffix}.txt` into `directory`.

    `suffix` names the setting, such as `greedy_search`. The summary's first row is the setting over all
    utterances; a row `{suffix}-{task}` follows for every task. Each file appears whole or not at all.
    Raises HraError as `check_names` does, before any is written.
    """
    ordered = sorted(utterances, key=lambda utterance: utterance.id)
    check_names(name for utterance in ordered for name in (utterance.id, utterance.task))
    files = result_files(directory, split, suffix)
    scores = score(ordered)
    write_text(files.recogs, _transcripts(ordered))
    write_text(files.errs, _error_details(ordered, scores))
    write_text(files.wer_summary, _summary(suffix, scores))
    return files


def check_names(names: Iterable[str]) -> None:
    """Raises HraError for an utterance's id or a task's name that could not be read back from a line of these files."""
    for name in names:
        if _NOT_IN_A_LINE.search(name):
            raise HraError(f"{name!r} cannot stand in a result file: an id or a task has no control characters")


def read_recogs(file: Path) -> list[Utterance]:
    """The utterances of a `recogs-` file, in its order; their task is "", which the file does not say.

    Raises HraError for a file that is not there or not as `write_results` writes it.
    """
    lines = _lines(file)
    if len(lines) % 2:
        raise HraError(f"{file}: the last utterance has no hypothesis; decode again")
    utterances = []
    for number in range(0, len(lines), 2):
        ref_id, ref = _transcript(file, number + 1, lines[number], "ref")
        hyp_id, hyp = _transcript(file, number + 2, lines[number + 1], "hyp")
        if ref_id != hyp_id:
            raise HraError(f"{file}, line {number + 2}: the hypothesis of '{ref_id}' is missing; decode again")
        utterances.append(Utterance(ref_id, "", ref, hyp))
    return utterances


def read_wer_summary(file: Path, suffix: str) -> tuple[Optional[float], dict[str, Optional[float]]]:
    """WER in per cent over all utterances and of every task, from a `wer-summary-` file of the setting `suffix`.

    None where there were no words.

    Raises HraError for a file that is not there or not as `write_results` writes it.
    """
    wer: dict[str, Optional[float]] = {}
    for number, line in enumerate(_lines(file)[1:], start=2):
        setting, _, value = line.rpartition("\t")
        try:
            wer[setting] = None if value == NO_WER else float(value)
        except ValueError as error:
            raise HraError(f"{file}, line {number}: '{value}' is no WER; decode again") from error
    if suffix not in wer:
        raise HraError(f"{file} has no row '{suffix}'; decode again")
    total = wer.pop(suffix)
    return total, {setting[len(suffix) + 1 :]: value for setting, value in wer.items()}


def count_confusions(alignments: Iterable[list[tuple[str, str]]]) -> Confusions:
    """Counts over the alignments that `align_words` makes."""
    pairs = Counter(pair for alignment in alignments for pair in alignment)
    return Confusions(
        correct=Counter({ref: count for (ref, hyp), count in pairs.items() if ref == hyp}),
        substituted=Counter({pair: n for pair, n in pairs.items() if pair[0] != pair[1] and GAP not in pair}),
        deleted=Counter({ref: count for (ref, hyp), count in pairs.items() if hyp == GAP}),
        inserted=Counter({hyp: count for (ref, hyp), count in pairs.items() if ref == GAP}),
    )


def most_frequent_first(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """(key, count) with the highest count first; equal counts in reverse alphabetical order, as icefall has them."""
    return sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HraError(f"{file} cannot be read ({type(error).__name__}); decode again") from error
    # Not splitlines, which would also split at odd characters within an id.
    return text.removesuffix("\n").split("\n") if text else []


def _transcript(file: Path, number: int, line: str, side: str) -> tuple[str, list[str]]:
    """The id and the words of one line; side: ref or hyp."""
    id_, separator, words = line.partition(f":\t{side}=")
    try:
        read = ast.literal_eval(words) if separator else None
    except (ValueError, SyntaxError):
        read = None
    if not isinstance(read, list) or not all(isinstance(word, str) and word for word in read):
        raise HraError(f"{file}, line {number}: not 'ID:<tab>{side}=[words]'; decode again")
    return id_, read


def _transcripts(utterances: list[Utterance]) -> str:
    return "".join(f"{u.id}:\tref={u.ref}\n{u.id}:\thyp={u.hyp}\n" for u in utterances)


def _summary(suffix: str, scores: Scores) -> str:
    rows = [(suffix, scores.total)] + [(f"{suffix}-{task}", counts) for task, counts in scores.tasks.items()]
    return "settings\tWER\n" + "".join(f"{setting}\t{wer_text(counts.wer)}\n" for setting, counts in rows)


def _error_details(utterances: list[Utterance], scores: Scores) -> str:
    alignments = [align_words(utterance.ref, utterance.hyp) for utterance in utterances]
    counts = count_confusions(alignments)
    total = scores.total
    lines = [
        f"%WER = {wer_text(total.wer)}",
        f"Errors: {total.insertions} insertions, {total.deletions} deletions, "
        f"{total.substitutions} substitutions, over {total.words} reference words "
        f"({sum(counts.correct.values())} correct)",
        "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, DELETIONS:, INSERTIONS:, "
        "PER-WORD STATS:",
        "",
        "PER-UTT DETAILS: corr or (ref->hyp)  ",
    ]
    lines += [f"{u.id}:\t{_alignment_text(pairs)}" for u, pairs in zip(utterances, alignments)]
    lines += ["", "SUBSTITUTIONS: count ref -> hyp"]
    lines += [f"{count}   {ref} -> {hyp}" for (ref, hyp), count in most_frequent_first(counts.substituted)]
    lines += ["", "DELETIONS: count ref"]
    lines += [f"{count}   {word}" for word, count in most_frequent_first(counts.deleted)]
    lines += ["", "INSERTIONS: count hyp"]
    lines += [f"{count}   {word}" for word, count in most_frequent_first(counts.inserted)]
    lines += ["", "PER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp"]

    in_ref = Counter(word for utterance in utterances for word in utterance.ref)
    in_hyp = Counter(word for utterance in utterances for word in utterance.hyp)
    errors = Counter({word: in_ref[word] + in_hyp[word] - 2 * counts.correct[word] for word in in_ref + in_hyp})
    lines += [
        f"{word}   {counts.correct[word]} {count} {in_ref[word]} {in_hyp[word]}"
        for word, count in most_frequent_first(errors)
    ]
    return "\n".join(lines) + "\n"


def _alignment_text(pairs: list[tuple[str, str]]) -> str:
    """Correct words as they are, every run of errors as one `(ref words->hyp words)`, `*` for none."""
    shown = []
    for is_correct, run in groupby(pairs, key=lambda pair: pair[0] == pair[1]):
        refs, hyps = (" ".join(word for word in side if word != GAP) for side in zip(*run))
        shown.append(refs if is_correct else f"({refs or '*'}->{hyps or '*'})")
    return " ".join(shown)
