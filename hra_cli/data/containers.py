"""What an audio file says about its own size: whether it holds as many bytes as it should.

libsndfile takes most files that are cut off for shorter ones and says nothing.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Optional

# Programs that write into a pipe cannot know how long the audio will be. They state 0, -1, or about the largest size.
_UNKNOWN_32 = ((0, 0), (0x7FFF0000, 0x80000000), (0xFFFF0000, 0xFFFFFFFF))
_UNKNOWN_64 = 1 << 62
_MOST_CHUNKS = 10_000  # before the audio; programs write about ten
_W64_RIFF = bytes.fromhex("726966662E91CF11A5D628DB04C10000")
# Kinds of WAV whose blocks are one sample of every channel: PCM, float, A-law, mu-law, and those that say more.
_EVEN_KINDS = (1, 3, 6, 7, 0xFFFE)
_BLOCK_KINDS = (0x02, 0x11, 0x31)  # whose blocks are many: ADPCM of Microsoft and IMA, GSM
_LARGEST_OGG_PAGE = 65_307
# The rates that a frame of a FLAC file says by one of these codes; others are said beside it, or not again.
_FLAC_RATES = {
    1: 88_200, 2: 176_400, 3: 192_000, 4: 8_000, 5: 16_000, 6: 22_050,
    7: 24_000, 8: 32_000, 9: 44_100, 10: 48_000, 11: 96_000,
}  # fmt: skip

CUT_OFF = "the audio file is cut off, it is shorter than its header says; copy it again"
DAMAGED = "the audio file is damaged: its header contradicts its size or itself; copy it again, or convert it to FLAC"


@dataclass(frozen=True)
class _Layout:
    """How a container is made of chunks: where the first begins, a chunk's header (its name and length, whose format
    also says the order of bytes), what its end is rounded up to, and the name of the chunk with the samples."""

    first: int
    header: str
    align: int
    samples: bytes
    counts_header: bool = False

    @property
    def order(self) -> str:
        return self.header[0]

    def is_unknown(self, length: int) -> bool:
        """Whether this is what programs state that cannot know the length."""
        if self.header.endswith("I"):
            return any(least <= length <= most for least, most in _UNKNOWN_32)
        return not 0 < length < _UNKNOWN_64


_RIFF = _Layout(12, "<4sI", 2, b"data")
_W64 = _Layout(40, "<16sQ", 8, b"data", counts_header=True)
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _Layout(12, ">4sI", 2, b"data"),
    b"FORM": _Layout(12, ">4sI", 2, b"SSND"),
    b"caff": _Layout(8, ">4sq", 1, b"data"),
}


def fault(file: BinaryIO) -> str:
    """What is wrong with the size of an audio file: RIFF (WAV, RF64, RIFX), W64, AIFF, AU, CAF, SPHERE or Ogg; or with
    the rate of a FLAC file.

    '' for nothing, where the file does not say how long it is, and for other formats: MP3 is in mp3.py, and a FLAC file
    that is cut off is noticed when its samples are read.
    """
    size = file.seek(0, os.SEEK_END)
    magic = _read(file, 0, 16)
    if magic[:4] == b"OggS":
        return "" if _ends_with_last_ogg_page(file, size) else CUT_OFF
    if magic[:4] == b"fLaC":
        return DAMAGED if _flac_rates_differ(file) else ""
    layout = _W64 if magic == _W64_RIFF else _LAYOUTS.get(magic[:4])
    if layout is None:
        end = _end_in_au(magic) if magic[:4] in (b".snd", b"dns.") else _end_in_sphere(file)
    else:
        end = _end_in_chunks(file, layout)
    if magic[:7] == b"NIST_1A" and not _has_sphere_header(file):
        return DAMAGED
    if end is None:
        return ""
    if end > size:
        return CUT_OFF
    if magic[:4] in (b".snd", b"dns.") and size > end + 1:  # nothing follows the samples there, but perhaps a pad byte
        return DAMAGED
    if layout is not None and (
        _is_followed_by_samples(file, layout, magic, end, size) or _contradicts_itself(file, layout, magic)
    ):
        return DAMAGED
    return ""


def _contradicts_itself(file: BinaryIO, layout: _Layout, magic: bytes) -> bool:
    """Whether a RIFF or W64 file's rates of samples and of bytes do not go together, or an AIFF file skips some."""
    for name, start, length in _chunks(file, layout, layout.first):
        if magic[:4] == b"FORM" and name == layout.samples:
            return _read(file, start, 4) != bytes(4)  # where the samples begin, which nobody uses
        if name[:4] == b"fmt " and length >= 16:
            kind, _, rate, byte_rate, block, _ = struct.unpack(f"{layout.order}HHIIHH", _read(file, start, 16))
            if kind in _EVEN_KINDS:
                return bool(byte_rate not in (0, rate * block))
            if kind not in _BLOCK_KINDS or length < 20 or not byte_rate:
                return False
            (samples,) = struct.unpack(f"{layout.order}H", _read(file, start + 18, 2))
            return bool(samples > 0 and abs(byte_rate * samples - rate * block) > 0.05 * rate * block)
    return False


def _is_followed_by_samples(file: BinaryIO, layout: _Layout, magic: bytes, end: int, size: int) -> bool:
    """Whether what comes after the samples is no chunk, so that there are more of them than the header says."""
    end += -end % layout.align
    if layout is _W64:  # libsndfile takes all that follows for samples
        return size > end
    if magic[:4] == b"caff":
        return False
    (stated,) = struct.unpack(f"{layout.order}I", magic[4:8])
    if stated == 0xFFFFFFFF and magic[2:4] == b"64":
        stated = int.from_bytes(_read(file, 20, 8), "little")  # in ds64, which comes first
    whole = 8 + stated
    if layout.is_unknown(stated) or whole > size:
        return False
    for name, start, length in _chunks(file, layout, end):
        if start > whole:
            return False
        if not all(32 <= char < 127 for char in name) or start + length > whole + 1:
            return True
    return False


def _end_in_chunks(file: BinaryIO, layout: _Layout) -> Optional[int]:
    """Where the samples end in a file that is whole; None where it does not say."""
    length64 = 0
    for name, start, length in _chunks(file, layout, layout.first):
        if name == b"ds64":
            length64 = int.from_bytes(_read(file, start + 8, 8), "little")
        elif name[:4] == layout.samples:
            if length == 0xFFFFFFFF and length64:
                return start + length64
            return None if layout.is_unknown(length) else start + length
    return None


def _chunks(file: BinaryIO, layout: _Layout, start: int) -> Iterator[tuple[bytes, int, int]]:
    """The name, the place of the content and the stated length of one chunk after the other, from `start` on."""
    header_size = struct.calcsize(layout.header)
    for _ in range(_MOST_CHUNKS):
        content = _read(file, start, header_size)
        if len(content) < header_size:
            return
        name, length = struct.unpack(layout.header, content)
        if layout.counts_header:
            length -= header_size
        start += header_size
        yield name, start, length
        if length < 0:
            return
        start += -(-length // layout.align) * layout.align


def _end_in_au(magic: bytes) -> Optional[int]:
    start, length = struct.unpack(">II" if magic[0] == ord(".") else "<II", magic[4:12])
    return None if _RIFF.is_unknown(length) else start + length


def sphere_header(file: BinaryIO) -> dict[str, str]:
    """The fields of a SPHERE file's header, and its size in bytes as "header"; empty for any other file."""
    first = re.fullmatch(rb"NIST_1A\n *([0-9]+)\n", _read(file, 0, 16))
    if first is None:
        return {}
    size = min(int(first[1]), 1 << 16)
    fields = {"header": str(size)}
    for line in _read(file, 0, size).decode("latin-1").splitlines()[2:]:
        parts = line.split(maxsplit=2)
        if parts == ["end_head"]:
            break
        if len(parts) == 3:
            fields[parts[0]] = parts[2].strip()
    return fields


def _has_sphere_header(file: BinaryIO) -> bool:
    size = int(sphere_header(file).get("header", 0))
    return size > 0 and size % 1024 == 0


def is_shortened(fields: dict[str, str]) -> bool:
    """Whether a SPHERE file is compressed, which only sph2pipe reads."""
    return "embedded" in fields.get("sample_coding", "")


def _end_in_sphere(file: BinaryIO) -> Optional[int]:
    fields = sphere_header(file)
    sizes = [fields.get(name, "") for name in ("sample_count", "channel_count", "sample_n_bytes")]
    if is_shortened(fields) or not all(one.isdigit() for one in sizes):
        return None
    samples, channels, width = map(int, sizes)
    return int(fields["header"]) + samples * channels * width


def _ends_with_last_ogg_page(file: BinaryIO, size: int) -> bool:
    """Whether the last page is whole and says that it is the last one."""
    start = max(0, size - 2 * _LARGEST_OGG_PAGE)
    tail = _read(file, start, size - start)
    page = tail.rfind(b"OggS\0")
    if page < 0 or page + 27 > len(tail):
        return False
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    return bool(tail[page + 5] & 4) and page + 27 + tail[page + 26] + sum(segments) <= len(tail)


def _flac_rates_differ(file: BinaryIO) -> bool:
    """Whether the header and the first frame of a FLAC file state two rates."""
    (rate,) = struct.unpack(">I", b"\0" + _read(file, 18, 3))
    start, last = 4, False
    for _ in range(_MOST_CHUNKS):
        block = _read(file, start, 4)
        if last or len(block) < 4:
            break
        last, start = bool(block[0] & 0x80), start + 4 + int.from_bytes(block[1:], "big")
    frame = _read(file, start, 3)
    stated = _FLAC_RATES.get(frame[2] & 15) if last and frame[:1] == b"\xff" and len(frame) == 3 else None
    return stated is not None and stated != rate >> 4


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
