"""What an audio file says about its own size: whether it holds fewer bytes than it should.

libsndfile takes most files that are cut off for shorter ones and says nothing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Optional

# Programs that write into a pipe cannot know how long the audio will be. They state 0, -1, or about the largest size.
_UNKNOWN_32 = ((0, 0), (0x7FFF0000, 0x80000000), (0xFFFF0000, 0xFFFFFFFF))
_UNKNOWN_64 = 1 << 62
_MOST_CHUNKS = 10_000  # before the audio; programs write about ten
_W64_RIFF = bytes.fromhex("726966662E91CF11A5D628DB04C10000")
_LARGEST_OGG_PAGE = 65_307
_LARGEST_MP3_FRAME = 2_881
# Writers differ in whether they count the frame that states the size.
_XING_TOLERANCE = 0.01


def is_cut_off(file: BinaryIO) -> bool:
    """Whether an audio file has lost its end: RIFF (WAV, RF64, RIFX), W64, AIFF, AU, CAF, SPHERE, Ogg and MP3.

    False where the file does not say how long it is, and for other formats. (A FLAC file that is cut off is noticed
    when its samples are read.)
    """
    size = file.seek(0, os.SEEK_END)
    magic = _read(file, 0, 16)
    if magic[:4] == b"OggS":
        return not _ends_with_last_ogg_page(file, size)
    if magic[:3] == b"ID3" or _mp3_frame(magic) is not None:
        return _is_cut_off_mp3(file, size)
    end = _stated_end(file, magic)
    return end is not None and end > size


def _stated_end(file: BinaryIO, magic: bytes) -> Optional[int]:
    """Where the samples end in a file that is whole."""
    if magic[:4] in (b"RIFF", b"RF64", b"BW64"):
        return _end_in_riff(file, "<")
    if magic[:4] == b"RIFX":
        return _end_in_riff(file, ">")
    if magic == _W64_RIFF:
        return _end_in_w64(file)
    if magic[:4] == b"FORM":
        return _end_in_aiff(file)
    if magic[:4] in (b".snd", b"dns."):
        start, length = struct.unpack(">II" if magic[0] == ord(".") else "<II", magic[4:12])
        return None if _is_unknown(length) else start + length
    if magic[:4] == b"caff":
        return _end_in_caf(file)
    if magic[:7] == b"NIST_1A":
        return _end_in_sphere(file)
    return None


def _is_unknown(length: int) -> bool:
    return any(least <= length <= most for least, most in _UNKNOWN_32)


def _chunks(
    file: BinaryIO, start: int, header: str, align: int, counts_header: bool
) -> Iterator[tuple[bytes, int, int]]:
    """The name, the place of the content and the stated length of one chunk after the other."""
    header_size = struct.calcsize(header)
    for _ in range(_MOST_CHUNKS):
        content = _read(file, start, header_size)
        if len(content) < header_size:
            return
        name, length = struct.unpack(header, content)
        if counts_header:
            length -= header_size
        start += header_size
        yield name, start, length
        if length < 0:
            return
        start += -(-length // align) * align


def _end_in_riff(file: BinaryIO, order: str) -> Optional[int]:
    length64 = None
    for name, start, length in _chunks(file, 12, f"{order}4sI", 2, counts_header=False):
        if name == b"ds64":
            sizes = _read(file, start, 16)
            length64 = int.from_bytes(sizes[8:16], "little") if len(sizes) == 16 else None
        elif name == b"data":
            if length == 0xFFFFFFFF and length64:
                return start + length64
            return None if _is_unknown(length) else start + length
    return None


def _end_in_w64(file: BinaryIO) -> Optional[int]:
    for name, start, length in _chunks(file, 40, "<16sQ", 8, counts_header=True):
        if name[:4] == b"data":
            return start + length if 0 < length < _UNKNOWN_64 else None
    return None


def _end_in_aiff(file: BinaryIO) -> Optional[int]:
    for name, start, length in _chunks(file, 12, ">4sI", 2, counts_header=False):
        if name == b"SSND":
            return None if _is_unknown(length) else start + length
    return None


def _end_in_caf(file: BinaryIO) -> Optional[int]:
    for name, start, length in _chunks(file, 8, ">4sq", 1, counts_header=False):
        if name == b"data":
            return start + length if 0 < length < _UNKNOWN_64 else None
    return None


def sphere_header(file: BinaryIO) -> dict[str, str]:
    """The fields of a SPHERE file's header, and its size in bytes as "header"; empty for any other file."""
    first = _read(file, 0, 16).split()
    if len(first) < 2 or first[0] != b"NIST_1A" or not first[1].isdigit():
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


_BITRATES = {  # kbit/s by version (True for MPEG 1) and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_frame(header: bytes) -> Optional[int]:
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


def _is_cut_off_mp3(file: BinaryIO, size: int) -> bool:
    start = _after_id3(file)
    first = _read(file, start, _LARGEST_MP3_FRAME)
    length = _mp3_frame(first)
    if length is None:
        return False
    stated = _stated_by_xing(first[:length])
    if stated is not None:
        return size - start < stated * (1 - _XING_TOLERANCE)
    return _ends_within_frame(file, start, size, first)


def _after_id3(file: BinaryIO) -> int:
    """Where the tags at the beginning end."""
    start = 0
    while (tag := _read(file, start, 10))[:3] == b"ID3" and len(tag) == 10:
        start += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0)))
    return start


def _stated_by_xing(frame: bytes) -> Optional[int]:
    """The bytes of all frames, as the first one says, which then holds no sound."""
    for name in (b"Xing", b"Info"):
        place = frame.find(name, 4, 64)
        if place >= 0 and len(frame) >= place + 16:
            flags, first, second = struct.unpack(">III", frame[place + 4 : place + 16])
            return (second if flags & 1 else first) if flags & 2 else None
    place = frame.find(b"VBRI", 4, 64)
    if place >= 0 and len(frame) >= place + 14:
        return int.from_bytes(frame[place + 10 : place + 14], "big")
    return None


def _ends_within_frame(file: BinaryIO, start: int, size: int, first: bytes) -> bool:
    """Whether the end of the file lies within a frame, where the frames before it follow each other without a gap."""
    begin = max(start, size - 4 * _LARGEST_MP3_FRAME)
    tail = _read(file, begin, size - begin)

    def next_frame(place: int) -> Optional[int]:
        header = tail[place : place + 4]
        same = len(header) == 4 and header[:2] == first[:2] and header[2] & 0x0C == first[2] & 0x0C
        length = _mp3_frame(header) if same else None
        return None if length is None else place + length

    for place in range(len(tail) - 4):
        frames, end = 0, next_frame(place)
        while end is not None and end < len(tail):
            frames, end = frames + 1, next_frame(end)
        if end is not None and frames >= 2:
            return end > len(tail)
        if frames >= 2:
            return False  # something else follows, such as a tag
    return False


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
