"""A transcript as lines of text, in the formats that other programs read."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

from hra_cli.recognition.captions import captions
from hra_cli.recognition.transcript import Transcript


def lines_of(transcript: Transcript, format_: str) -> list[str]:
    """The transcript in one of `audio_options.FORMATS`, as a file of its own; "txt" is the text alone."""
    return _WRITERS[format_](transcript)


def _txt(transcript: Transcript) -> list[str]:
    return [transcript.text]


def _json(transcript: Transcript) -> list[str]:
    return [json_line(transcript.as_json())]


def json_line(content: object) -> str:
    """JSON in one line that every program can read, whatever a file is called."""
    text = json.dumps(content, ensure_ascii=False)
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _ctm(transcript: Transcript) -> list[str]:
    """NIST's format: recording, channel, start and duration in seconds, word."""
    recording = ctm_name(Path(transcript.file))
    channel = transcript.channel or 1
    return [f"{recording} {channel} {one.start:.2f} {one.end - one.start:.2f} {one.text}" for one in transcript.words]


def ctm_name(file: Path) -> str:
    """What a CTM file calls a recording: its name, which has no spaces there."""
    return "_".join(file.stem.split())


def _srt(transcript: Transcript) -> list[str]:
    lines = []
    for number, one in enumerate(captions(transcript.words), start=1):
        lines += [str(number), f"{_clock(one.start, ',')} --> {_clock(one.end, ',')}", *one.lines, ""]
    return lines


def _vtt(transcript: Transcript) -> list[str]:
    lines = ["WEBVTT", ""]
    for one in captions(transcript.words):
        shown = [html.escape(line, quote=False) for line in one.lines]
        lines += [f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}", *shown, ""]
    return lines


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


# For the names of audio_options.FORMATS.
_WRITERS: dict[str, Callable[[Transcript], list[str]]] = {
    "txt": _txt,
    "json": _json,
    "ctm": _ctm,
    "srt": _srt,
    "vtt": _vtt,
}
