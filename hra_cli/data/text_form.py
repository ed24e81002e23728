"""What is done to transcripts so that a recogniser can write them: case, punctuation, Unicode form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional

from hra_cli.errors import HraError

# All of these are written for the apostrophe of "don't".
_APOSTROPHES = frozenset("'\u2018\u2019\u201b\u02bc\u00b4`\uff07")
# Unicode's punctuation that is spoken as a word, as digits and currency signs are. It is never taken out. Nor are
# square brackets and braces, since what they mark, such as [laughter], would be left as a word that nobody said.
_SPOKEN = frozenset("&%@#\u00a7\u2030\uff05\uff06\uff03\uff20[]{}\uff3b\uff3d\uff5b\uff5d")
# What nobody sees: soft hyphen, spaces without width, marks of direction.
_INVISIBLE = frozenset("\u00ad\u200b\u200e\u200f\u2060\ufeff")
_APOSTROPHE_IN_WORD = re.compile(r"(?<=[^\W_])'(?=[^\W_])")
_KEPT = "\ue001"  # stands for an apostrophe that stays while the others are taken out
# A change of case or of compatibility characters concerns every transcript. One that helps fewer than this is not made.
_WORTH_A_CHANGE = 0.01
# By name, with a line of help.
CASES = {"keep": "as it is", "upper": "all of it in upper case", "lower": "all of it in lower case"}
UNICODE_FORMS = {
    "keep": "as it is",
    "NFC": "a letter and its accent as one character",
    "NFKC": "full-width letters and the like as plain ones too",
}
MODES = ("auto", "keep")
NUM_EXAMPLES = 3
_LONGEST_EXAMPLE = 200  # characters


@dataclass(frozen=True)
class TextForm:
    """The form that transcripts are put into.

    strip_punctuation: punctuation becomes a space, but what stands in `keeps`; of apostrophes only those within a word
    can stay, and one that cannot leaves no space. unicode_form: NFC, or NFKC, which also writes full-width letters,
    ligatures and the like as plain ones. Spaces become one, unless the form changes nothing at all.
    """

    case: str = "keep"
    strip_punctuation: bool = False
    keeps: str = "'"
    unicode_form: str = "keep"

    def __post_init__(self) -> None:
        if self.case not in CASES or self.unicode_form not in UNICODE_FORMS:
            raise ValueError(f"no such form: {self.case}, {self.unicode_form}")

    def apply(self, text: str) -> str:
        """The text in this form."""
        if self == AS_IT_IS:
            return text
        if self.unicode_form != "keep":
            text = unicodedata.normalize("NFC", text)  # so that a letter and its accent are one character
        if self.strip_punctuation:
            text = self._stripped(text)
        if self.case != "keep":
            text = text.upper() if self.case == "upper" else text.lower()
        if self.unicode_form != "keep":
            text = unicodedata.normalize(self.unicode_form, text)  # type: ignore[arg-type]
        return " ".join(text.split())

    def __str__(self) -> str:
        parts = []
        if self.case != "keep":
            parts.append(f"{self.case} case")
        if self.strip_punctuation:
            parts.append("without punctuation" + (f" but {' '.join(self.keeps)}" if self.keeps else ""))
        if self.unicode_form != "keep":
            parts.append(f"Unicode {self.unicode_form}")
        return ", ".join(parts) or "as it is"

    def _stripped(self, text: str) -> str:
        text = text.translate(self._instead)
        text = _APOSTROPHE_IN_WORD.sub(_KEPT if "'" in self.keeps else "", text)
        return text.replace("'", " ").replace(_KEPT, "'")

    @cached_property
    def _instead(self) -> _Instead:
        return _Instead(self.keeps)


AS_IT_IS = TextForm()


@dataclass(frozen=True)
class Example:
    """A transcript before and after it was changed."""

    before: str
    after: str


@dataclass
class TextChanges:
    """What was done to transcripts: their form, how many it changed, and the first of these."""

    form: TextForm
    changed: int = 0
    examples: list[Example] = field(default_factory=list)

    def apply(self, text: str) -> str:
        """The text in its form; counted where that is another."""
        after = self.form.apply(text)
        if after != text:
            self.changed += 1
            if len(self.examples) < NUM_EXAMPLES:
                self.examples.append(Example(_shown(text), _shown(after)))
        return after


@dataclass(frozen=True)
class TextOptions:
    """How the form is decided. text_form: "auto", by what the tokenizer knows; "keep"; or None: auto where there is a
    tokenizer. The others say it themselves, and then nothing is chosen.

    Raises HraError where `text_form` and the others contradict each other.
    """

    text_form: Optional[str] = None
    text_case: str = "keep"
    strip_punctuation: bool = False
    unicode_form: str = "keep"

    def __post_init__(self) -> None:
        if self.text_form not in (None, *MODES):
            raise HraError(f"no such --text-form: '{self.text_form}'; choose {' or '.join(MODES)}")
        if self.text_form is not None and self._says_itself:
            raise HraError(
                f"--text-form {self.text_form} contradicts --text-case, --strip-punctuation and --unicode-form; "
                "leave it out"
            )

    @property
    def _says_itself(self) -> bool:
        return self.text_case != "keep" or self.strip_punctuation or self.unicode_form != "keep"

    def is_auto(self, has_tokenizer: bool) -> bool:
        """Whether the form is chosen by the tokenizer. Raises HraError where there is none to choose it by."""
        if self.text_form == "auto" and not has_tokenizer:
            raise HraError("--text-form auto chooses by what a recogniser can write; say which with --backbone")
        return has_tokenizer and not self._says_itself and self.text_form != "keep"

    def arguments(self, has_tokenizer: bool) -> dict[str, Any]:
        """What a data folder records of them; nothing where transcripts stay as they are."""
        if self.is_auto(has_tokenizer):
            return {"text": "auto"}
        return {
            **({"text-case": self.text_case} if self.text_case != "keep" else {}),
            **({"strip-punctuation": True} if self.strip_punctuation else {}),
            **({"unicode-form": self.unicode_form} if self.unicode_form != "keep" else {}),
        }

    def form(self, texts: Iterable[str], writes: Optional[Callable[[str], bool]]) -> TextForm:
        """The form for these transcripts. writes: whether the tokenizer can write a character; None without one."""
        if writes is not None and self.is_auto(has_tokenizer=True):
            return fitting_form(texts, writes)
        keeps = "'" if writes is None or writes("'") else ""
        if not self.strip_punctuation:
            keeps = TextForm.keeps
        return TextForm(self.text_case, self.strip_punctuation, keeps, self.unicode_form)


def fitting_form(texts: Iterable[str], writes: Callable[[str], bool]) -> TextForm:
    """The least change with which the most of the texts can be written.

    Punctuation that cannot be written is taken out, the rest stays. The case is kept, or else it is upper or lower;
    characters are NFC, or else NFKC: the first of these with which at most one in a hundred texts fewer can be written
    than with any other.
    """
    forms = [TextForm(case, unicode_form=unicode) for unicode in ("NFC", "NFKC") for case in ("keep", "upper", "lower")]
    written: list[set[str]] = [set() for _ in forms]  # the characters that can be written, by form
    counts = [0] * len(forms)
    seen: set[str] = set()
    total = 0
    for text in texts:
        total += 1
        chars = set(unicodedata.normalize("NFC", text))
        for char in chars - seen:
            for form, known in zip(forms, written):
                if _can_go(char) or all(map(writes, form.apply(char))):
                    known.add(char)
        seen |= chars
        for index, known in enumerate(written):
            counts[index] += chars <= known
    enough = max(counts) - _WORTH_A_CHANGE * total
    form = next(form for form, count in zip(forms, counts) if count >= enough)
    punctuation = {char for char in seen if _can_go(char) and not char.isspace()}
    keeps = {char for char in punctuation | {"'"} if writes(char)}
    if punctuation <= keeps:
        return form
    return TextForm(form.case, True, "".join(sorted(keeps)), form.unicode_form)


def spoken(char: str) -> bool:
    """Whether it has to be written as a word, as digits, currency and per cent have."""
    return char in _SPOKEN or (unicodedata.category(char)[0] in "NS" and char not in _APOSTROPHES)


def without_punctuation(text: str) -> str:
    """The text without any, but apostrophes within words."""
    return TextForm(strip_punctuation=True).apply(text)


def _shown(text: str) -> str:
    """As a file can hold it: halves of characters, which JSON may have, are no text."""
    return text[:_LONGEST_EXAMPLE].encode("utf-8", "replace").decode("utf-8")


def _can_go(char: str) -> bool:
    """Whether the character may be taken out of a text."""
    if char.isspace() or char in _APOSTROPHES or char in _INVISIBLE:
        return True
    return unicodedata.category(char).startswith("P") and char not in _SPOKEN


class _Instead(dict[int, str]):
    """By character, as `str.translate` asks: what it becomes before apostrophes are looked at."""

    def __init__(self, keeps: str) -> None:
        super().__init__()
        self._keeps = frozenset(keeps)

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in _APOSTROPHES:
            found = char if char in self._keeps else "'"
        elif char in self._keeps or not _can_go(char):
            found = char
        else:
            found = "" if char in _INVISIBLE else " "
        self[code] = found
        return found
