import gzip
import zlib

import pytest

from hra_cli.io.gzip_blocks import LINES_PER_BLOCK, BlockWriter, LongLine, read_lines

LINES = [f"line {number} ".encode() + b"x" * (number % 7) + b"\n" for number in range(250)]
LONGEST = 1 << 20


def written(file, lines=LINES):
    with open(file, "wb") as stream:
        writer = BlockWriter(stream)
        for line in lines:
            writer.write(line)
        writer.end()
    return file


def test_any_reader_of_gzip_reads_it_and_the_same_lines_make_the_same_bytes(tmp_path):
    file = written(tmp_path / "a.gz")
    assert gzip.decompress(file.read_bytes()) == b"".join(LINES)
    assert written(tmp_path / "b.gz").read_bytes() == file.read_bytes()
    assert gzip.decompress(written(tmp_path / "none.gz", []).read_bytes()) == b""
    assert list(read_lines(tmp_path / "none.gz", LONGEST)) == []


def test_a_line_is_read_from_the_block_that_it_is_in(tmp_path):
    file = written(tmp_path / "a.gz")
    found = list(read_lines(file, LONGEST))
    assert [line for _, _, line in found] == LINES
    assert [number for _, number, _ in found] == [number % LINES_PER_BLOCK for number in range(250)]
    assert len({block for block, _, _ in found}) == 3
    for block, number, line in found[::40]:
        again = list(read_lines(file, LONGEST, start=block))
        assert again[number] == (block, number, line)


def test_what_gzip_wrote_is_read(tmp_path):
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(b"".join(LINES)))
    assert [line for _, _, line in read_lines(file, LONGEST)] == LINES
    assert {block for block, _, _ in read_lines(file, LONGEST)} == {0}
    # Members that share a line, zeros between and behind them, and no newline at the end.
    file.write_bytes(gzip.compress(b"first\nsec") + bytes(5) + gzip.compress(b"ond\nthird") + bytes(70_000))
    found = list(read_lines(file, LONGEST))
    assert [line for _, _, line in found] == [b"first\n", b"second\n", b"third"]
    for block, number, line in found:
        assert list(read_lines(file, LONGEST, start=block))[number] == (block, number, line)


@pytest.mark.parametrize("spoil", ["cut off", "no gzip", "changed", "behind", "empty"])
def test_what_is_damaged_is_no_end(tmp_path, spoil):
    file = written(tmp_path / "a.gz")
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(
        {
            "cut off": content[:half],
            "no gzip": b"no gzip\n",
            "changed": content[:half] + bytes([content[half] ^ 255]) + content[half + 1 :],
            "behind": content + b"more\n",
            "empty": b"",
        }[spoil]
    )
    with pytest.raises((EOFError, zlib.error)):
        list(read_lines(file, LONGEST))


def test_a_small_file_of_one_huge_line_does_not_fill_the_memory(tmp_path):
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(bytes(50 << 20)))
    with pytest.raises(LongLine):
        list(read_lines(file, LONGEST))
