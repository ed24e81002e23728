"""An MP3 file frame by frame: whether it is whole, and how much sound it holds.

libsndfile guesses the length from the size of the first frame where that does not say it as mpg123 likes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Optional

from hra_cli.data.containers import CUT_OFF, DAMAGED

# Writers differ in whether they count the frame that states the size.
_XING_TOLERANCE = 0.01
_MOST_SILENT_FRAMES = 4


@dataclass(frozen=True)
class Mp3:
    """What is wrong with the size of an MP3 file, '' for nothing; its samples, by its first frame or else counted; and
    those in one of its frames."""

    fault: str
    samples: int
    in_frame: int


def examine_mp3(file: BinaryIO) -> Optional[Mp3]:
    """None for any other file, of which only the beginning is read."""
    start = _after_id3(file)
    file.seek(start)
    header = file.read(4)
    length = _frame_size(header)
    if length is None:
        return None
    file.seek(0)
    content = file.read()
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    in_frame = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    first = content[start : start + length]
    stated, stated_bytes = _xing_sizes(first)
    frames, end = _follow_frames(content, start)
    samples = in_frame * frames
    if stated is not None:
        silence = _silence_around(first)
        # No encoder needs more; where it is damaged, mpg123 leaves out sound.
        samples = in_frame * stated - (silence if silence <= _MOST_SILENT_FRAMES * in_frame else 0)
    too_few_bytes = stated_bytes is not None and len(content) - start < stated_bytes * (1 - _XING_TOLERANCE)
    within_frame = end > len(content) and (stated is None or frames < stated)
    hole = end < len(content) and _has_frames(content, end)
    # One more is the frame that says so.
    other_number = stated is not None and not stated <= frames <= stated + 1
    fault = CUT_OFF if too_few_bytes or within_frame else DAMAGED if hole or other_number else ""
    return Mp3(fault, samples, in_frame)


_BITRATES = {  # kbit/s by version (True for MPEG 1) and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _frame_size(header: bytes) -> Optional[int]:
    """The bytes of the MPEG audio frame that begins here; None where none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits = 1000 * _BITRATES[version == 3, layer][bitrate]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _follow_frames(content: bytes, start: int) -> tuple[int, int]:
    """How many frames follow each other, the last one whole, and where what begins there ends: maybe after the file."""
    like = content[start : start + 4]
    frames = 0
    while start < len(content):
        header = content[start : start + 4]
        length = _frame_size(header) if _is_same_stream(header, like) else None
        if length is None:
            break
        start += length
        if start <= len(content):
            frames += 1
    return frames, start


def _has_frames(content: bytes, start: int) -> bool:
    """Whether frames go on somewhere after `start`, where something else is."""
    place = content.find(b"\xff", start)
    while place >= 0:
        if _frame_size(content[place : place + 4]) is not None and _follow_frames(content, place)[0] >= 3:
            return True
        place = content.find(b"\xff", place + 1)
    return False


def _is_same_stream(header: bytes, like: bytes) -> bool:
    """Whether two frames have the same version, layer and sampling rate."""
    return len(header) == 4 and header[:2] == like[:2] and header[2] & 0x0C == like[2] & 0x0C


def _after_id3(file: BinaryIO) -> int:
    """Where the tags at the beginning end."""
    start = 0
    while True:
        file.seek(start)
        tag = file.read(10)
        if tag[:3] != b"ID3" or len(tag) < 10:
            return start
        start += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0)))


def _xing_sizes(frame: bytes) -> tuple[Optional[int], Optional[int]]:
    """The number of frames and of bytes, as far as the first frame says it, which then holds no sound."""
    for name in (b"Xing", b"Info"):
        place = frame.find(name, 4, 64)
        if place >= 0 and len(frame) >= place + 16:
            flags, first, second = struct.unpack(">III", frame[place + 4 : place + 16])
            return first if flags & 1 else None, (second if flags & 1 else first) if flags & 2 else None
    place = frame.find(b"VBRI", 4, 64)
    if place >= 0 and len(frame) >= place + 18:
        size, frames = struct.unpack(">II", frame[place + 10 : place + 18])
        return frames, size
    return None, None


def _silence_around(frame: bytes) -> int:
    """The samples that the encoder has put before and after the sound, where the first frame says so as LAME does."""
    place = max(frame.find(b"Xing", 4, 64), frame.find(b"Info", 4, 64))
    if place < 0 or len(frame) < place + 144 or not frame[place + 120 : place + 124].isalnum():
        return 0
    both = int.from_bytes(frame[place + 141 : place + 144], "big")
    return (both >> 12) + (both & 0xFFF)
