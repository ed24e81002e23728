"""What an audio file says about its own size: whether it holds as many bytes as it should.

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
# Kinds of WAV whose blocks are one sample of every channel: PCM, float, A-law, mu-law, and those that say more.
_EVEN_KINDS = (1, 3, 6, 7, 0xFFFE)
_BLOCK_KINDS = (0x02, 0x11, 0x31)  # whose blocks are many: ADPCM of Microsoft and IMA, GSM
_LARGEST_OGG_PAGE = 65_307
# Writers differ in whether they count the frame that states the size.
_XING_TOLERANCE = 0.01
_MOST_SILENT_FRAMES = 4

CUT_OFF = "the audio file is cut off, it is shorter than its header says; copy it again"
DAMAGED = "the audio file is damaged: its header contradicts its size or itself; copy it again, or convert it to FLAC"


def fault(file: BinaryIO) -> str:
    """What is wrong with the size of an audio file: RIFF (WAV, RF64, RIFX), W64, AIFF, AU, CAF, SPHERE, Ogg or MP3.

    '' for nothing, where the file does not say how long it is, and for other formats. (A FLAC file that is cut off is
    noticed when its samples are read.)
    """
    size = file.seek(0, os.SEEK_END)
    magic = _read(file, 0, 16)
    if magic[:4] == b"OggS":
        return "" if _ends_with_last_ogg_page(file, size) else CUT_OFF
    if is_mp3(magic):
        return _fault_of_mp3(file)
    end = _stated_end(file, magic)
    if end is None:
        return ""
    if end > size:
        return CUT_OFF
    if _is_followed_by_samples(file, magic, end, size) or _contradicts_itself(file, magic):
        return DAMAGED
    return ""


def _contradicts_itself(file: BinaryIO, magic: bytes) -> bool:
    """Whether a RIFF or W64 file's rates of samples and of bytes do not go together, or an AIFF file skips some."""
    if magic[:4] == b"FORM":
        found = [start for name, start, _ in _chunks(file, 12, ">4sI", 2, counts_header=False) if name == b"SSND"]
        return bool(found) and _read(file, found[0], 4) != bytes(4)  # where the samples begin, which nobody uses
    order = ">" if magic[:4] == b"RIFX" else "<"
    if magic == _W64_RIFF:
        chunks = _chunks(file, 40, "<16sQ", 8, counts_header=True)
    elif magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        chunks = _chunks(file, 12, f"{order}4sI", 2, counts_header=False)
    else:
        return False
    for name, start, length in chunks:
        if name[:4] == b"fmt " and length >= 16:
            kind, _, rate, byte_rate, block, _ = struct.unpack(f"{order}HHIIHH", _read(file, start, 16))
            if kind in _EVEN_KINDS:
                return byte_rate not in (0, rate * block)
            samples = int.from_bytes(_read(file, start + 18, 2), "big" if order == ">" else "little")
            in_blocks = kind in _BLOCK_KINDS and length >= 20 and samples > 0 and byte_rate > 0
            return in_blocks and abs(byte_rate * samples - rate * block) > 0.05 * rate * block
    return False


def _is_followed_by_samples(file: BinaryIO, magic: bytes, end: int, size: int) -> bool:
    """Whether what comes after the samples is no chunk, so that there are more of them than the header says."""
    if magic == _W64_RIFF:  # libsndfile takes all that follows for samples
        return size > end + -end % 8
    if magic[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return False
    order = ">" if magic[:4] in (b"RIFX", b"FORM") else "<"
    stated = struct.unpack(f"{order}I", magic[4:8])[0]
    if stated == 0xFFFFFFFF and magic[2:4] == b"64":
        stated = int.from_bytes(_read(file, 20, 8), "little")  # in ds64, which comes first
    whole = 8 + stated
    if _is_unknown(stated) or whole > size:
        return False
    for name, start, length in _chunks(file, end + end % 2, f"{order}4sI", 2, counts_header=False):
        if start > whole:
            return False
        if not all(32 <= char < 127 for char in name) or start + length > whole + 1:
            return True
    return False


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


def is_mp3(magic: bytes) -> bool:
    """Whether a file that begins with these bytes is MPEG audio."""
    return magic[:3] == b"ID3" or _mp3_frame(magic) is not None


def mp3_samples(file: BinaryIO) -> Optional[tuple[int, int]]:
    """The samples in an MP3 file, by its first frame or else counted, and in one of its frames; None for other files.

    libsndfile guesses the number from the size of the first frame where that does not say it as mpg123 likes.
    """
    content = _read_all(file)
    start = _after_id3(file)
    length = _mp3_frame(content[start : start + 4])
    if length is None:
        return None
    version, layer = content[start + 1] >> 3 & 3, 4 - (content[start + 1] >> 1 & 3)
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    first = content[start : start + length]
    stated = (_xing_sizes(first) or (None, None))[0]
    if stated is None:
        return samples * _follow_mp3_frames(content, start)[0], samples
    silence = _silence_around(first)
    # No encoder needs more; where it is damaged, mpg123 leaves out sound.
    return samples * stated - (silence if silence <= _MOST_SILENT_FRAMES * samples else 0), samples


def _silence_around(frame: bytes) -> int:
    """The samples that the encoder has put before and after the sound, where the first frame says so as LAME does."""
    place = max(frame.find(b"Xing", 4, 64), frame.find(b"Info", 4, 64))
    if place < 0 or len(frame) < place + 144 or not frame[place + 120 : place + 124].isalnum():
        return 0
    both = int.from_bytes(frame[place + 141 : place + 144], "big")
    return (both >> 12) + (both & 0xFFF)


def _fault_of_mp3(file: BinaryIO) -> str:
    content = _read_all(file)
    start = _after_id3(file)
    length = _mp3_frame(content[start : start + 4])
    if length is None:
        return ""
    frames, end = _follow_mp3_frames(content, start)
    stated_frames, stated_bytes = _xing_sizes(content[start : start + length]) or (None, None)
    if stated_bytes is not None and len(content) - start < stated_bytes * (1 - _XING_TOLERANCE):
        return CUT_OFF
    if end > len(content) and (stated_frames is None or frames < stated_frames):
        return CUT_OFF
    if end < len(content) and _has_mp3_frames(content, end):
        return DAMAGED
    # One more is the frame that says so.
    return DAMAGED if stated_frames is not None and not stated_frames <= frames <= stated_frames + 1 else ""


def _follow_mp3_frames(content: bytes, start: int) -> tuple[int, int]:
    """How many frames follow each other, the last one whole, and where what begins there ends: maybe after the file."""
    like = content[start : start + 4]
    frames = 0
    while start < len(content):
        header = content[start : start + 4]
        length = _mp3_frame(header) if _is_same_stream(header, like) else None
        if length is None:
            break
        start += length
        if start <= len(content):
            frames += 1
    return frames, start


def _has_mp3_frames(content: bytes, start: int) -> bool:
    """Whether frames go on somewhere after `start`, where something else is."""
    place = content.find(b"\xff", start)
    while place >= 0:
        if _mp3_frame(content[place : place + 4]) is not None and _follow_mp3_frames(content, place)[0] >= 3:
            return True
        place = content.find(b"\xff", place + 1)
    return False


def _is_same_stream(header: bytes, like: bytes) -> bool:
    """Whether two frames have the same version, layer and sampling rate."""
    return len(header) == 4 and header[:2] == like[:2] and header[2] & 0x0C == like[2] & 0x0C


def _after_id3(file: BinaryIO) -> int:
    """Where the tags at the beginning end."""
    start = 0
    while (tag := _read(file, start, 10))[:3] == b"ID3" and len(tag) == 10:
        start += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0)))
    return start


def _xing_sizes(frame: bytes) -> Optional[tuple[Optional[int], Optional[int]]]:
    """The number of frames and of bytes, as the first frame says, which then holds no sound; None where it is sound."""
    for name in (b"Xing", b"Info"):
        place = frame.find(name, 4, 64)
        if place >= 0 and len(frame) >= place + 16:
            flags, first, second = struct.unpack(">III", frame[place + 4 : place + 16])
            return first if flags & 1 else None, (second if flags & 1 else first) if flags & 2 else None
    place = frame.find(b"VBRI", 4, 64)
    if place >= 0 and len(frame) >= place + 18:
        size, frames = struct.unpack(">II", frame[place + 10 : place + 18])
        return frames, size
    return None


def _read_all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
