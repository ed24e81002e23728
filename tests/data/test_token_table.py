"""tokens.txt: what is read from it, and what is refused with a line."""

import pytest
from builders import refused

from hra_cli.data.token_table import read_token_table, token_table


@pytest.fixture
def table(tmp_path):
    return tmp_path / "tokens.txt"


def test_what_is_written_is_read(table):
    tokens = ["<blk>", "<sos/eos>", "<unk>", "▁THE", "你", "\u3000", "\u2028", "#"]
    table.write_text(token_table(tokens), encoding="utf-8", newline="")
    assert read_token_table(table) == tokens


def test_any_order_tabs_and_lexicons_symbols_at_the_end(table):
    table.write_text("b 2\r\n<blk>\t0\n\na\t \t1\n #0 not\n".replace(" #0 not", "#0 3\n#1 4"), encoding="utf-8")
    assert read_token_table(table) == ["<blk>", "a", "b"]


def test_a_line_without_a_name_is_a_space(table):
    table.write_text("<blk> 0\na 1\n  2\n", encoding="utf-8")
    assert read_token_table(table) == ["<blk>", "a", " "]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no tokens"),
        (b"#0 0\n", "has no tokens"),
        (b"<blk> 0\na 1\na 2\n", "line 3: 'a' is already on line 2"),
        (b"<blk> 0\na 1\nb 1\n", "line 3: 1 is already the id of 'a'"),
        (b"<blk> 0\na 1\nb 3\n", "has no token 2, but a token 3"),
        (b"<blk> 0\na 1\nb 999999999\n", "has no token 2, but a token 999999999"),
        (b"<blk> 0\na one\n", "line 2, is no token and its id: 'a one'"),
        (b"<blk> 0\na -1\n", "line 2, is no token and its id"),
        (b"<blk> 0\na 1.0\n", "line 2, is no token and its id"),
        (b"<blk> 0\na 99999999999999999999\n", "line 2, is no token and its id"),
        ("<blk> 0\na ١\n".encode(), "line 2, is no token and its id"),
        (b"<blk> 0\na b 1\n", "line 2, is no token and its id"),
        (b"<blk> 0\na\n", "line 2, is no token and its id"),
        (b"a 0\n<blk> 1\n", "token 0 is 'a', and should be the blank, <blk>"),
        (b"<blk> 0\n\xff 1\n", "it is no text in UTF-8"),
        ("<blk> 0\n".encode("utf-16"), "it is no text in UTF-8"),
        (b"\0" * 100, "line 1, is no token and its id"),
        (b"x" * 1_000_000, "line 1, is no token and its id"),
    ],
)
def test_hostile_tables_are_one_line(table, content, message):
    table.write_bytes(content)
    with refused(message, table, "give the tokens.txt of the recogniser"):
        read_token_table(table)


def test_a_table_of_a_gigabyte_is_refused_by_its_size(table):
    with open(table, "wb") as stream:
        stream.truncate(2**30)
    with refused("is no table of tokens: it has 1,073,741,824 bytes"):
        read_token_table(table)


def test_a_missing_table_is_refused(table):
    with refused("cannot read the tokenizer .*: No such file"):
        read_token_table(table)
