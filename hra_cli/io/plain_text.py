"""Text from outside, as text that can be shown."""

from __future__ import annotations

import re

# Control characters and escape sequences, line separators, marks and overrides of the writing direction, and what is no
# character at all (from a file's name that is no UTF-8).
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """Text in one line that a terminal shows and does not obey: what it would obey is written as \\x1b or \\u202e."""
    return _NOT_SHOWN.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))
