"""How audio files are decoded, and how their texts are given. Imports nothing heavy, as decode_config.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# Names, and a line of help for each.
FORMATS = {
    "txt": "file and text, a line each",
    "json": "text, words, tokens and times, a line each",
    "ctm": "a word a line with its time, for scoring",
    "srt": "captions",
    "vtt": "captions for the web",
}
CHANNELS = {"mix": "one text of all channels", "each": "a text for every channel"}
SEGMENTS = {
    "none": "whole, and in windows that overlap where it is longer than 36 s",
    "vad": "where somebody speaks; needs the extra vad",
}
CAPTIONS = ("srt", "vtt")


@dataclass(frozen=True)
class AudioOptions:
    """channels, segment, format: names of CHANNELS, SEGMENTS and FORMATS. tasks_from: a table of files and the tasks
    whose heads they are decoded with."""

    channels: str = "mix"
    segment: str = "none"
    format: str = "txt"
    tasks_from: Optional[Path] = None
