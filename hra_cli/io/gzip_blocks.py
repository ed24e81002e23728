"""Lines in gzip files of many members, so that one line can be read without all the lines before it.

Every program that reads gzip reads such files; `bgzip` and `pigz --independent` write the like.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LINES_PER_BLOCK = 100  # a block of cuts is then about 10 kB on disk, and read in less than a millisecond
_GZIP = 31  # zlib's name for the format
_CHUNK = 1 << 16  # bytes read, and at most so many times 16 decompressed, at a time


class LongLine(Exception):
    """A line is longer than any that is written here: a small file may hold more than any memory."""


class BlockWriter:
    """Writes lines as gzip; the same lines make the same bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._empty = True

    def write(self, line: bytes) -> None:
        """Adds a line, which ends in a newline."""
        self._waiting.append(line)
        if len(self._waiting) == LINES_PER_BLOCK:
            self._flush()

    def end(self) -> None:
        """Writes what is still to be written. A file of no bytes would be no gzip file."""
        if self._waiting or self._empty:
            self._flush()

    def _flush(self) -> None:
        compressor = zlib.compressobj(wbits=_GZIP)  # its header has no time of day
        self._stream.write(compressor.compress(b"".join(self._waiting)) + compressor.flush())
        self._waiting, self._empty = [], False


def read_lines(file: Path, longest: int, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a gzip file from the member on that begins at byte `start`: each with the byte where the member
    begins from which it is to be read, its number counted from there, and its content, newline included.

    longest: bytes of a line; raises LongLine for more. Raises OSError, EOFError and zlib.error where the file cannot be
    read, is cut off, or is no gzip file.
    """
    block, number, rest = start, 0, b""
    for begins, piece in _pieces(file, start):
        if begins >= 0 and not rest:  # a line that members share is read from the first of them
            block, number = begins, 0
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield block, number, line + b"\n"
            number += 1
        if len(rest) >= longest:
            raise LongLine
    if rest:
        yield block, number, rest


def _pieces(file: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """What is in the members, piece by piece, each with the byte where its member begins for its first, and else -1."""
    with open(file, "rb") as stream:
        stream.seek(start)
        position, data = start, stream.read(_CHUNK)
        if not data:
            raise EOFError
        while data:
            member, begins = zlib.decompressobj(_GZIP), position
            while not member.eof:
                piece = member.decompress(data, 16 * _CHUNK)
                position += len(data) - len(member.unconsumed_tail) - len(member.unused_data)
                data = member.unconsumed_tail
                yield begins, piece
                begins = -1
                if not member.eof and not data:
                    data = stream.read(_CHUNK)
                    if not data:
                        raise EOFError
            # What ends a file may be padded with zeros.
            data = member.unused_data
            while not data.strip(b"\0"):
                position += len(data)
                data = stream.read(_CHUNK)
                if not data:
                    return
            zeros = len(data) - len(data.lstrip(b"\0"))
            position, data = position + zeros, data[zeros:]
