"""Whether a tokenizer can write a transcript, what to do where it cannot, and what was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Optional

from hra_cli.data.skipped import Skipped
from hra_cli.data.text_form import TextChanges, spoken, without_punctuation
from hra_cli.data.tokenizer import Tokenizer

LOWER_CASE = "lower-case letters, which the tokenizer lacks"
UPPER_CASE = "upper-case letters, which the tokenizer lacks"
PUNCTUATION = "punctuation, which the tokenizer lacks"
LOWER_CASE_AND_PUNCTUATION = "lower-case letters and punctuation, which the tokenizer lacks"
UPPER_CASE_AND_PUNCTUATION = "upper-case letters and punctuation, which the tokenizer lacks"
SPOKEN = "digits or symbols, which the tokenizer lacks"
OTHER = "characters the tokenizer lacks"

# By reason: what the tokenizer is, what the transcripts have, what to do.
_ADVICE = {
    LOWER_CASE: ("upper case", "lower-case letters", "prepare with --text-case upper"),
    UPPER_CASE: ("lower case", "upper-case letters", "prepare with --text-case lower"),
    PUNCTUATION: ("without punctuation", "punctuation", "prepare with --strip-punctuation"),
    LOWER_CASE_AND_PUNCTUATION: (
        "upper case without punctuation",
        "lower-case letters and punctuation",
        "prepare with --text-case upper --strip-punctuation",
    ),
    UPPER_CASE_AND_PUNCTUATION: (
        "lower case without punctuation",
        "upper-case letters and punctuation",
        "prepare with --text-case lower --strip-punctuation",
    ),
    SPOKEN: ("without digits", "digits or symbols", "write them as they are spoken"),
}


def unwritable(id_: str, text: str, tokenizer: Tokenizer) -> Optional[Skipped]:
    """What keeps the tokenizer from writing the text of utterance `id_`; None if nothing does."""
    unknown = tokenizer.unknown_characters(text)
    if not unknown:
        return None
    bare = without_punctuation(text)
    for reason, changed in (
        (LOWER_CASE, text.upper()),
        (UPPER_CASE, text.lower()),
        (PUNCTUATION, bare),
        (LOWER_CASE_AND_PUNCTUATION, bare.upper()),
        (UPPER_CASE_AND_PUNCTUATION, bare.lower()),
    ):
        if not tokenizer.unknown_characters(changed):
            return Skipped(id_, reason, unknown)
    words = "".join(char for char in bare if not spoken(char))
    if words != bare and not all(map(tokenizer.unknown_characters, (words, words.upper(), words.lower()))):
        return Skipped(id_, SPOKEN, unknown)
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
    return f"the tokenizer is {is_}, {percent} of the transcripts have {have}: {do}"


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


def text_done(changes: TextChanges) -> str:
    """What was done to transcripts, in a few words."""
    return f"{changes.form}; {changes.changed:,} transcripts changed"
