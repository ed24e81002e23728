import ast

import pytest
from builders import refused

from hra_cli.scoring.results import read_recogs, read_wer_summary, write_results
from hra_cli.scoring.wer import Utterance

UTTERANCES = [
    Utterance("b-2", "it", ["TURN", "THE", "LIGHT", "ON"], ["TURN", "A", "NIGHT", "ON", "NOW"]),
    Utterance("a-1", "fr", ["ONE", "TWO", "THREE"], ["ONE", "THREE"]),
    Utterance("c-3", "it", ["SIX"], []),
    Utterance("d-4", "it", [], []),
]


def test_files_are_named_as_icefall_names_them(tmp_path):
    files = write_results(tmp_path / "decode", "test", "greedy_search", UTTERANCES)
    assert sorted(path.name for path in (tmp_path / "decode").iterdir()) == [
        "errs-test-greedy_search.txt",
        "recogs-test-greedy_search.txt",
        "wer-summary-test-greedy_search.txt",
    ]
    assert files.recogs == tmp_path / "decode" / "recogs-test-greedy_search.txt"


def test_transcripts_are_sorted_by_id_and_can_be_read_back(tmp_path):
    quoted = Utterance("e-5", "it", ["DON'T", 'SAY "NO"'], ["ÉTÉ"])
    lines = write_results(tmp_path, "test", "greedy_search", [quoted, *UTTERANCES]).recogs.read_text("utf-8")
    assert lines.startswith("a-1:\tref=['ONE', 'TWO', 'THREE']\na-1:\thyp=['ONE', 'THREE']\nb-2:\tref=")

    read = {}
    for line in lines.splitlines():
        name, rest = line.split(":\t")
        side, words = rest.split("=", maxsplit=1)
        read.setdefault(name, {})[side] = ast.literal_eval(words)
    assert read == {u.id: {"ref": u.ref, "hyp": u.hyp} for u in [*UTTERANCES, quoted]}


def test_error_details(tmp_path):
    files = write_results(tmp_path, "test", "greedy_search", UTTERANCES)
    assert files.errs.read_text() == (
        "%WER = 62.50\n"
        "Errors: 1 insertions, 2 deletions, 2 substitutions, over 8 reference words (4 correct)\n"
        "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, DELETIONS:, INSERTIONS:, "
        "PER-WORD STATS:\n"
        "\n"
        "PER-UTT DETAILS: corr or (ref->hyp)  \n"
        "a-1:\tONE (TWO->*) THREE\n"
        "b-2:\tTURN (THE LIGHT->A NIGHT) ON (*->NOW)\n"
        "c-3:\t(SIX->*)\n"
        "d-4:\t\n"
        "\n"
        "SUBSTITUTIONS: count ref -> hyp\n"
        "1   THE -> A\n"
        "1   LIGHT -> NIGHT\n"
        "\n"
        "DELETIONS: count ref\n"
        "1   TWO\n"
        "1   SIX\n"
        "\n"
        "INSERTIONS: count hyp\n"
        "1   NOW\n"
        "\n"
        "PER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp\n"
        "TWO   0 1 1 0\n"
        "THE   0 1 1 0\n"
        "SIX   0 1 1 0\n"
        "NOW   0 1 0 1\n"
        "NIGHT   0 1 0 1\n"
        "LIGHT   0 1 1 0\n"
        "A   0 1 0 1\n"
        "TURN   1 0 1 1\n"
        "THREE   1 0 1 1\n"
        "ONE   1 0 1 1\n"
        "ON   1 0 1 1\n"
    )


def test_summary_has_the_setting_first_and_then_its_tasks(tmp_path):
    files = write_results(tmp_path, "test", "greedy_search", UTTERANCES)
    assert files.wer_summary.read_text() == (
        "settings\tWER\ngreedy_search\t62.50\ngreedy_search-fr\t33.33\ngreedy_search-it\t80.00\n"
    )


def test_no_utterances(tmp_path):
    files = write_results(tmp_path, "test", "greedy_search", [])
    assert files.recogs.read_text() == ""
    assert files.errs.read_text().startswith("%WER = –\n")
    assert files.wer_summary.read_text() == "settings\tWER\ngreedy_search\t–\n"


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a:\tref=b", "a:\thyp=['X']", "\x1b[31ma", "\udcff", "a\x85b"])
@pytest.mark.parametrize("what", ["id", "task"])
def test_a_name_that_could_not_be_read_back_is_refused_before_anything_is_written(tmp_path, name, what):
    one = Utterance(name, "fr", ["ONE"], []) if what == "id" else Utterance("e-5", name, ["ONE"], [])
    with refused("cannot stand in a result file"):
        write_results(tmp_path / "decode", "test", "greedy_search", [*UTTERANCES, one])
    assert not (tmp_path / "decode").exists()


def test_odd_names_and_words_are_read_back_as_they_were(tmp_path):
    odd = [
        Utterance("a:ref=['X']", "it", ["a\nb", "\x1b[31m", "c:\tref=d", "\udcff", "'\"\\"], ["\r"]),
        Utterance("b \u2028 [red] é", "[b]it", ["\u202e"], []),
    ]
    files = write_results(tmp_path, "test", "greedy_search", odd)
    assert [(u.id, u.ref, u.hyp) for u in read_recogs(files.recogs)] == [(u.id, u.ref, u.hyp) for u in odd]
    assert set(read_wer_summary(files.wer_summary, "greedy_search")[1]) == {"it", "[b]it"}
