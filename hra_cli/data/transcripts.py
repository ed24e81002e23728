"""Whether a tokenizer can write a transcript, and what to do where it cannot."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Optional

from hra_cli.data.skipped import Skipped
from hra_cli.data.tokenizer import Tokenizer

LOWER_CASE = "lower-case letters, which the tokenizer lacks"
UPPER_CASE = "upper-case letters, which the tokenizer lacks"
PUNCTUATION = "punctuation, which the tokenizer lacks"
LOWER_CASE_AND_PUNCTUATION = "lower-case letters and punctuation, which the tokenizer lacks"
UPPER_CASE_AND_PUNCTUATION = "upper-case letters and punctuation, which the tokenizer lacks"
OTHER = "characters the tokenizer lacks"

# By reason: what the tokenizer is, what the transcripts have, what to do.
_ADVICE = {
    LOWER_CASE: ("upper case", "lower-case letters", "write them in upper case"),
    UPPER_CASE: ("lower case", "upper-case letters", "write them in lower case"),
    PUNCTUATION: ("without punctuation", "punctuation", "take it out"),
    LOWER_CASE_AND_PUNCTUATION: (
        "upper case without punctuation",
        "lower-case letters and punctuation",
        "write them in upper case without punctuation",
    ),
    UPPER_CASE_AND_PUNCTUATION: (
        "lower case without punctuation",
        "upper-case letters and punctuation",
        "write them in lower case without punctuation",
    ),
}


def unwritable(id_: str, text: str, tokenizer: Tokenizer) -> Optional[Skipped]:
    """What keeps the tokenizer from writing the text of utterance `id_`; None if nothing does."""
    unknown = tokenizer.unknown_characters(text)
    if not unknown:
        return None
    bare = _without_punctuation(text)
    for reason, changed in (
        (LOWER_CASE, text.upper()),
        (UPPER_CASE, text.lower()),
        (PUNCTUATION, bare),
        (LOWER_CASE_AND_PUNCTUATION, bare.upper()),
        (UPPER_CASE_AND_PUNCTUATION, bare.lower()),
    ):
        if not tokenizer.unknown_characters(changed):
            return Skipped(id_, reason, unknown)
    return Skipped(id_, OTHER, unknown)


def advice(skipped: Mapping[str, int], total: int) -> str:
    """What to do about transcripts in another form than the tokenizer's, of which there are `total`; '' if nothing.

    skipped: how many, by reason. For the form that most of them are in.
    """
    found = {reason: count for reason, count in skipped.items() if reason in _ADVICE}
    if not found:
        return ""
    reason = max(found, key=lambda one: found[one])
    is_, have, do = _ADVICE[reason]
    share = 100 * found[reason] / total
    percent = f"{share:.0f} %" if share >= 1 else "less than 1 %"
    return f"the tokenizer is {is_}, {percent} of the transcripts have {have}: {do} before preparing"


def advice_for(texts: Iterable[str], tokenizer: Tokenizer) -> str:
    """The same for texts that have not been looked at."""
    reasons: dict[str, int] = {}
    total = 0
    for text in texts:
        total += 1
        problem = unwritable("", text, tokenizer)
        if problem is not None:
            reasons[problem.reason] = reasons.get(problem.reason, 0) + 1
    return advice(reasons, total)


def _without_punctuation(text: str) -> str:
    return "".join(char for char in text if char == "'" or not unicodedata.category(char).startswith("P"))
