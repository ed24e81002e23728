"""What is done to transcripts: by options, and by what a tokenizer knows."""

import json
import time

import pytest
from builders import refused
from data_folders import change_tasks
from lhotse import CutSet
from recordings import character_tokens, make_cut, train_bbpe, write_wav
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.task_index import load_tasks
from hra_cli.data.text_form import AS_IT_IS, TextChanges, TextForm, TextOptions, fitting_form
from hra_cli.report.facts import describe


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (TextForm(), " As  it's, said. ", " As  it's, said. "),
        (TextForm("upper"), "don't  stop", "DON'T STOP"),
        (TextForm("lower"), "ÉTÉ Straße", "été straße"),
        (TextForm("upper"), "straße", "STRASSE"),
        (TextForm(strip_punctuation=True), "“Well,” he said—don’t…", "Well he said don't"),
        (TextForm(strip_punctuation=True), "'Tis the dogs' well-known 'quote'", "Tis the dogs well known quote"),
        (TextForm(strip_punctuation=True, keeps=""), "don't rock 'n' roll", "dont rock n roll"),
        (TextForm(strip_punctuation=True, keeps="'-,"), "well-known, isn't it?", "well-known, isn't it"),
        (TextForm(strip_punctuation=True), "R&B is 5 % $ @home #1", "R&B is 5 % $ @home #1"),
        (TextForm("upper", True), "[laughter] well, {uh} <unk> (no)", "[LAUGHTER] WELL {UH} <UNK> NO"),
        (TextForm(strip_punctuation=True), "co\u00adoperate\u200b now\ufeff", "cooperate now"),
        (TextForm(strip_punctuation=True), "¿Qué? ¡Sí!", "Qué Sí"),
        (TextForm(strip_punctuation=True), "你好，世界。", "你好 世界"),
        (TextForm(strip_punctuation=True), "?!", ""),
        (TextForm(unicode_form="NFC"), "cafe\u0301", "café"),
        (TextForm("upper", True, "'", "NFC"), "l\u2019e\u0301te\u0301", "L'ÉTÉ"),
        (TextForm(unicode_form="NFKC"), "ＡＢ ﬁ", "AB fi"),
    ],
)
def test_a_form_says_what_becomes_of_a_text(form, text, expected):
    assert form.apply(text) == expected
    assert form.apply(expected) == expected  # once is enough


def knows(characters):
    return lambda char: char in characters


UPPER = knows("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
LOWER = knows("abcdefghijklmnopqrstuvwxyzéß'")
CASED = knows("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',.?")


@pytest.mark.parametrize(
    ("texts", "writes", "expected"),
    [
        (["ONE TWO", "DON'T"], UPPER, TextForm(unicode_form="NFC")),
        (["One, two.", "don’t"], UPPER, TextForm("upper", True, "'", "NFC")),
        (["one two"], UPPER, TextForm("upper", unicode_form="NFC")),
        (["ONE TWO."], LOWER, TextForm("lower", True, "'", "NFC")),
        (["Stra\u00dfe", "caf\u00e9"], LOWER, TextForm("lower", unicode_form="NFC")),
        (["One, two?"], CASED, TextForm(unicode_form="NFC")),
        (["One, two! (Three)"], CASED, TextForm("keep", True, "',", "NFC")),
        (["don't"], knows("abcdefghijklmnopqrstuvwxyz"), TextForm("keep", True, "", "NFC")),
        (["ＯＮＥ"], UPPER, TextForm(unicode_form="NFKC")),
        (["ONE 2", "THREE"], UPPER, TextForm(unicode_form="NFC")),  # digits are not guessed
        (["你好"], UPPER, TextForm(unicode_form="NFC")),
        ([], UPPER, TextForm(unicode_form="NFC")),
        # One text in a thousand that only another case could write is no reason to change all.
        (["One two"] * 999 + ["Ä"], knows("ONETWotw nÄone" + "e"), TextForm(unicode_form="NFC")),
    ],
)
def test_the_least_change_with_which_most_can_be_written(texts, writes, expected):
    assert fitting_form(iter(texts), writes) == expected


def test_the_choice_takes_time_in_proportion_to_the_transcripts():
    words = [f"{'abcdefghij'[number % 10]}word{chr(97 + number % 26)}," for number in range(1000)]
    texts = [" ".join(words[number % 900 : number % 900 + 12]) for number in range(20_000)]

    def seconds(count):
        started = time.process_time()
        changes = TextChanges(fitting_form(texts[:count], UPPER))
        for text in texts[:count]:
            changes.apply(text)
        assert changes.changed == count
        return time.process_time() - started

    seconds(1000)
    few, many = min(seconds(5_000) for _ in range(3)), seconds(20_000)
    assert many < 8 * few
    assert many < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("auto", "upper"), "--text-form auto contradicts --text-case, --strip-punctuation and --unicode-form"),
        (("keep", "keep", True), "--text-form keep contradicts"),
        (("auto", "keep", False, "NFC"), "--text-form auto contradicts"),
        (("guess",), "no such --text-form: 'guess'; choose auto or keep"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with refused(message):
        TextOptions(*options)


def test_auto_needs_a_tokenizer():
    with refused("--text-form auto chooses by what a recogniser can write; say which with --backbone"):
        TextOptions("auto").is_auto(has_tokenizer=False)
    assert TextOptions().form(["One."], None) == AS_IT_IS
    assert TextOptions(text_case="lower").form(["One."], UPPER) == TextForm("lower")


# --- prepare


COMMON_VOICE = ["One, two.", "“three four”", "Five — six?", "SEVEN", "Nine 9", "…"]


@pytest.fixture
def cuts_file(tmp_path):
    CutSet.from_cuts(
        make_cut(write_wav(tmp_path / "audio" / f"{index}.wav"), text) for index, text in enumerate(COMMON_VOICE)
    ).to_file(tmp_path / "cuts.jsonl.gz")
    return tmp_path / "cuts.jsonl.gz"


def prepare(cuts_file, data, *options):
    command = ("cuts", cuts_file, "--task-by", "constant:all", "--num-jobs", 1, "--output-dir", data)
    options = ("--test-fraction", 0, "--dev-fraction", 0, *options)
    return CliRunner().invoke(app, [str(one) for one in (*command, *options)])


def texts_of(data):
    return [cut.supervisions[0].text for cut in load_tasks(data).cuts("all", "train")]


def test_a_backbone_is_enough_for_transcripts_in_another_form(cuts_file, tmp_path, bpe_model):
    result = prepare(cuts_file, tmp_path / "data", "--backbone", bpe_model)
    assert result.exit_code == 0, result.output
    assert texts_of(tmp_path / "data") == ["ONE TWO", "THREE FOUR", "FIVE SIX", "SEVEN"]
    assert result.stdout.splitlines()[:7] == [
        "text: upper case, without punctuation, Unicode NFC; 5 transcripts changed",
        "  One, two.",
        "  → ONE TWO",
        "  “three four”",
        "  → THREE FOUR",
        "  Five — six?",
        "  → FIVE SIX",
    ]
    assert load_tasks(tmp_path / "data").skipped == {
        "digits or symbols, which the tokenizer lacks": 1,
        "transcript of punctuation alone": 1,
    }
    advice = "the tokenizer is without digits, 17 % of the transcripts have digits or symbols: write them as they are"
    assert f"{advice} spoken\n" in result.stdout
    index = json.loads((tmp_path / "data" / "tasks.json").read_text(encoding="utf-8"))
    assert index["arguments"]["text"] == "auto"
    assert index["text"]["form"] == {"case": "upper", "strip_punctuation": True, "keeps": "", "unicode_form": "NFC"}
    assert index["text"]["changed"] == 5
    assert index["text"]["examples"][0] == {"before": "One, two.", "after": "ONE TWO"}
    facts = describe(tmp_path / "data").facts
    assert facts["text"] == "upper case, without punctuation, Unicode NFC; 5 transcripts changed"
    again = prepare(cuts_file, tmp_path / "data", "--backbone", bpe_model)
    assert again.stdout.splitlines()[0].endswith("already prepared with these arguments")
    assert again.stdout.splitlines()[1:] == result.stdout.splitlines()


def test_transcripts_that_fit_stay_and_nothing_is_said(tmp_path, corpus, bpe_model):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    plain = prepare(tmp_path / "cuts.jsonl.gz", tmp_path / "plain", "--backbone", bpe_model, "--text-form", "keep")
    result = prepare(tmp_path / "cuts.jsonl.gz", tmp_path / "data", "--backbone", bpe_model)
    assert result.exit_code == plain.exit_code == 0
    assert "text:" not in result.stdout
    assert "text" not in json.loads((tmp_path / "data" / "tasks.json").read_text(encoding="utf-8"))

    def digest(data):
        return load_tasks(data).tasks["all"]["train"].words, texts_of(data)

    assert digest(tmp_path / "data") == digest(tmp_path / "plain")


def test_options_say_it_without_a_backbone(cuts_file, tmp_path):
    options = ("--text-case", "lower", "--strip-punctuation", "--unicode-form", "NFC")
    result = prepare(cuts_file, tmp_path / "data", *options)
    assert result.exit_code == 0, result.output
    assert texts_of(tmp_path / "data") == ["one two", "three four", "five six", "seven", "nine 9"]
    assert result.stdout.startswith("text: lower case, without punctuation but ', Unicode NFC; 6 transcripts changed\n")
    arguments = load_tasks(tmp_path / "data").arguments
    named = ("text-case", "strip-punctuation", "unicode-form")
    assert [arguments[name] for name in named] == ["lower", True, "NFC"]
    assert "already prepared" in prepare(cuts_file, tmp_path / "data", *options).stdout
    other = prepare(cuts_file, tmp_path / "data", "--text-case", "lower")
    assert "strip-punctuation was true and is now null" in str(other.exception)
    keep = prepare(cuts_file, tmp_path / "kept")
    assert keep.exit_code == 0
    assert texts_of(tmp_path / "kept") == COMMON_VOICE
    assert not {"text", *named} & load_tasks(tmp_path / "kept").arguments.keys()


def test_other_forms_are_refused_by_name(cuts_file, tmp_path):
    for options, message in (
        (("--text-case", "title"), "no such --text-case: 'title'"),
        (("--unicode-form", "NFD"), "no such --unicode-form: 'NFD'"),
        (("--text-form", "auto"), "say which with --backbone"),
        (("--text-form", "auto", "--text-case", "upper"), "--text-form auto contradicts"),
    ):
        result = prepare(cuts_file, tmp_path / "data", *options)
        assert message in str(result.exception)
        assert not (tmp_path / "data").exists()


def test_an_index_with_another_form_is_damaged(cuts_file, tmp_path, bpe_model):
    prepare(cuts_file, tmp_path / "data", "--backbone", bpe_model)
    change_tasks(tmp_path / "data", lambda content: content["text"]["form"].update(case="title"))
    with refused(r"tasks\.json is damaged: text\.form.*title", "run `hra prepare` again"):
        load_tasks(tmp_path / "data")


def test_copies_at_other_speeds_have_the_changed_text(cuts_file, tmp_path, bpe_model):
    prepare(cuts_file, tmp_path / "data", "--backbone", bpe_model, "--perturb-speed")
    assert sorted(set(texts_of(tmp_path / "data"))) == ["FIVE SIX", "ONE TWO", "SEVEN", "THREE FOUR"]
    assert len(texts_of(tmp_path / "data")) == 12


def test_examples_are_short_and_text_that_a_file_can_hold():
    changes = TextChanges(TextForm("upper"))
    assert changes.apply("two\ud800") == "TWO\ud800"
    assert changes.apply("a" * 10_000) == "A" * 10_000
    assert [(one.before[:4], one.after[:4]) for one in changes.examples] == [("two?", "TWO?"), ("aaaa", "AAAA")]
    assert max(len(one.after) for one in changes.examples) == 200


def test_other_tokenizers_choose_too(tmp_path):
    for name in ("char", "bbpe"):
        (tmp_path / name).mkdir()
    character_tokens(tmp_path / "char", 40)
    train_bbpe(tmp_path / "bbpe", ["你好世界 HELLO WORLD DON'T"] * 20, 60)
    by_characters, by_bytes = load_tokenizer(tmp_path / "char"), load_tokenizer(tmp_path / "bbpe")
    assert fitting_form(["One, two."], by_characters.writes) == TextForm("upper", True, "", "NFC")
    assert fitting_form(["你好，hello don’t"], by_bytes.writes) == TextForm("upper", True, "'", "NFC")
