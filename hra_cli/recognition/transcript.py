"""What was recognised in an audio file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from hra_cli.recognition.words import Word
from hra_cli.scoring.wer import Utterance


@dataclass(frozen=True)
class Transcript:
    """file: its path as it was given. channel: which of it, from 1, or None for all mixed. found, words: what was said,
    and when."""

    file: str
    channel: Optional[int]
    found: Utterance
    words: list[Word]

    @property
    def text(self) -> str:
        """All that was said."""
        return self.found.text

    def as_json(self) -> dict[str, Any]:
        """`{"file", "channel", "text", "words": [{"word", "start", "end"}], "tokens", "times"}`; times in seconds from
        the file's start. "channel" only where each has a text."""
        return {
            "file": self.file,
            **({} if self.channel is None else {"channel": self.channel}),
            "text": self.text,
            "words": [{"word": one.text, "start": one.start, "end": one.end} for one in self.words],
            "tokens": self.found.tokens,
            "times": self.found.times,
        }
