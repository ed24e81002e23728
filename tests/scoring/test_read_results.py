import pytest
from builders import refused

from hra_cli.scoring.results import read_recogs, read_wer_summary, write_results
from hra_cli.scoring.wer import Utterance

UTTERANCES = [
    Utterance("a: 1\u2028", "fr", ["DON'T", 'SAY "NO"'], ["ÉTÉ\u2028", "NOW"]),
    Utterance("b", "it", [], ["SIX"]),
]


@pytest.mark.parametrize("utterances", [UTTERANCES, []])
def test_transcripts_come_back_without_their_tasks(tmp_path, utterances):
    files = write_results(tmp_path, "test", "greedy_search", utterances)
    assert read_recogs(files.recogs) == [Utterance(u.id, "", u.ref, u.hyp) for u in utterances]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a:\tref=['ONE']\n", "the last utterance has no hypothesis"),
        ("a:\tref=['ONE']\nb:\thyp=['ONE']\n", "line 2: the hypothesis of 'a' is missing"),
        ("a:\thyp=['ONE']\na:\tref=['ONE']\n", "line 1: not 'ID:<tab>ref="),
        ("a:\tref=['ONE']\na:\thyp=['ONE'\n", "line 2: not 'ID:<tab>hyp="),
        ("a:\tref=['ONE']\na:\thyp=[1]\n", "line 2: not 'ID:<tab>hyp="),
        ("a:\tref=['ONE', '']\na:\thyp=[]\n", "line 1: not 'ID:<tab>ref="),
        ("a:\tref=__import__('os')\na:\thyp=[]\n", "line 1: not 'ID:<tab>ref="),
        ("\n\n", "line 1: not 'ID:<tab>ref="),
    ],
)
def test_anything_else_is_refused(tmp_path, content, message):
    file = tmp_path / "recogs-test-greedy_search.txt"
    file.write_text(content)
    with refused(message):
        read_recogs(file)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with refused("recogs.txt cannot be read"):
        read_recogs(tmp_path / "recogs.txt")
    (tmp_path / "recogs.txt").write_bytes(b"\xff")
    with refused("recogs.txt cannot be read"):
        read_recogs(tmp_path / "recogs.txt")


def test_summary(tmp_path):
    file = write_results(tmp_path, "test", "greedy_search", UTTERANCES).wer_summary
    assert read_wer_summary(file, "greedy_search") == (150.0, {"fr": 100.0, "it": None})
    with refused("has no row 'fast_beam_search'"):
        read_wer_summary(file, "fast_beam_search")
    file.write_text("settings\tWER\ngreedy_search\tmany\n")
    with refused("line 2: 'many' is no WER"):
        read_wer_summary(file, "greedy_search")
