"""Tables of utterances: spreadsheets, Common Voice, Hugging Face's audiofolder, in four formats."""

import collections
import csv
import io
import json
import sys

import pytest
import soundfile
from builders import refused
from cut_lists import cuts_by_task
from recordings import write_wav

from hra_cli.data.audio import mono_audio
from hra_cli.data.corpora.table_columns import Columns
from hra_cli.data.corpora.utterance_table import table_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment
from hra_cli.errors import HraError

COLUMNS = Columns(audio="file", text="words")


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", 0.5 + 0.1 * number, seed=number)
    return tmp_path


def write(folder, content, name="table.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def cuts_of(*files, columns=COLUMNS, **options):
    """The cuts, and what was left out and why."""
    cuts, skipped = table_corpus(list(files), columns, **options).cuts()
    return list(cuts), {one.id: one.reason for one in skipped}


def texts_of(cuts):
    return {cut.id: cut.supervisions[0].text for cut in cuts}


def test_all_of_common_voice(shared):
    file = shared / "data" / "commonvoice-mini" / "validated.tsv"
    corpus = table_corpus([file], preset="commonvoice")
    found, skipped = corpus.cuts()
    cuts, without = cuts_by_task(found, corpus.task_by)
    assert skipped == without == []
    counts = collections.Counter(cut.custom["task"] for cut in cuts)
    assert counts == {"speaker-1": 12, "speaker-2": 12, "speaker-3": 12}
    first = cuts["common_voice_en_37056376"].supervisions[0]
    assert first.text == "Not much is known about Patrick's private life."
    assert (first.speaker, first.gender, first.language) == ("speaker-1", "male", "en")
    assert first.custom == {
        "up_votes": "2",
        "down_votes": "0",
        "age": "fourties",
        "accents": "United States English",
        "client_id": "speaker-1",
        "locale": "en",
    }
    assert {cut.custom["task"] for cut in cuts_by_task(cuts, "client_id")[0]} == set(counts)
    assert texts_of(cuts)["common_voice_en_37067584"].endswith('"The Morning Drive with Randy Cook".')
    assert mono_audio(cuts[0]).shape[1] == cuts[0].recording.num_samples


NAMES = ["file", "words", "speaker", "room"]
ROWS = [
    {"file": "0.wav", "words": "ONE", "speaker": "ann", "room": "a, b"},
    {"file": "1.wav", "words": 'SAID "TWO"', "speaker": "bob"},
]


def delimited(delimiter):
    """As spreadsheets and pandas write it."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, NAMES, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", delimited(",")),
        ("table.CSV", "\ufeff" + delimited(",").replace("\n", "\r\n")),
        ("table.csv", delimited(";")),
        ("table.csv", delimited(",") + "\n,,,\n"),
        ("table.tsv", delimited("\t")),
        ("table.tsv", 'file\twords\tspeaker\troom\n0.wav\tONE\tann\ta, b\n1.wav\tSAID "TWO"\tbob\t\n'),
        (
            "table.tsv",
            '"file"\t"words"\t"speaker"\t"room"\n"0.wav"\t"ONE"\t"ann"\t"a, b"\n1.wav\t"SAID ""TWO"""\tbob\t\n',
        ),
        ("table.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("table.jsonl", "\n".join(json.dumps({**row, "take": None, "x": [1], "y": float("nan")}) for row in ROWS)),
    ],
)
def test_every_format_and_way_of_quoting_is_the_same_table(folder, name, content):
    cuts, skipped = cuts_of(write(folder, content, name))
    assert not skipped
    assert texts_of(cuts) == {"0": "ONE", "1": 'SAID "TWO"'}
    assert [cut.supervisions[0].speaker for cut in cuts] == ["ann", "bob"]
    assert [cut.supervisions[0].custom for cut in cuts] == [{"room": "a, b"}, None]


def test_a_name_of_a_column_may_have_a_comma(folder):
    cuts, _ = cuts_of(write(folder, "file;words;age, in years\n0.wav;ONE, TWO;50\n"))
    assert texts_of(cuts) == {"0": "ONE, TWO"}
    assert cuts[0].supervisions[0].custom == {"age, in years": "50"}


def test_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {
            **{name: [row.get(name) for row in ROWS] for name in NAMES},
            "take": [1, None],
            "sound": [b"RIFF", b"RIFF"],
        }
    )
    parquet.write_table(table, folder / "table.parquet")
    cuts, skipped = cuts_of(folder / "table.parquet")
    assert not skipped
    assert texts_of(cuts) == {"0": "ONE", "1": 'SAID "TWO"'}
    assert [cut.supervisions[0].custom for cut in cuts] == [{"room": "a, b", "take": 1}, None]
    with refused("has no column 'sound'"):
        cuts_of(folder / "table.parquet", columns=Columns(audio="sound", text="words"))
    content = (folder / "table.parquet").read_bytes()
    for damaged in (b"", b"PAR1", content[:-100], content[:50] + b"\0" * 60 + content[110:]):
        with refused("is damaged, or no Parquet file", folder / "table.parquet"):
            cuts_of(write(folder, damaged, "table.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refused(r"pip install -e '.\[parquet\]'"):
        cuts_of(write(folder, b"PAR1", "table.parquet"))


def test_audiofolder(folder):
    for split, number in (("train", 0), ("test", 1)):
        write(folder, f"file_name,transcription,speaker_id\n../{number}.wav,ONE,{split}-er\n", f"{split}.csv")
        (folder / split).mkdir()
        (folder / f"{split}.csv").rename(folder / split / "metadata.csv")
    files = (f"train={folder / 'train' / 'metadata.csv'}", f"test={folder / 'test' / 'metadata.csv'}")
    corpus = table_corpus(files, preset="audiofolder")
    cuts, _ = cuts_by_task(corpus.cuts()[0], corpus.task_by, corpus.split_by)
    assert {(cut.id, cut.custom["task"], cut.custom["split"]) for cut in cuts} == {
        ("0", "train-er", "train"),
        ("1", "test-er", "test"),
    }


def test_where_the_audio_lies(folder):
    (folder / "tables").mkdir()
    file = write(folder / "tables", f"file,words\n0.wav,ONE\n{folder / '1.wav'},TWO\n../tables/../2.wav,THREE\n")
    cuts, skipped = cuts_of(file)
    assert ({cut.id for cut in cuts}, skipped) == ({"1", "2"}, {"0": "unreadable recording"})
    assert {cut.id for cut in cuts_of(file, audio_dir=folder)[0]} == {"0", "1"}
    file = write(folder / "tables", "file,words\n0.wav,ONE\n")
    with refused("none of its audio files is there, such as", file, folder / "tables" / "0.wav", "--audio-dir"):
        cuts_of(file)
    with refused("no such folder", folder / "nowhere"):
        table_corpus([file], COLUMNS, audio_dir=folder / "nowhere")


def test_ids(folder):
    for speaker in ("ann", "bob"):
        write_wav(folder / speaker / "0.wav")
        write_wav(folder / speaker / f"{speaker}.wav")
    rows = "ann/0.wav,ONE,x\nbob/0.wav,TWO,y\nann/ann.wav,THREE,z\nbob/bob.wav,FOUR,\n"
    file = write(folder, "file,words,name\n" + rows)
    cuts, _ = cuts_of(file)
    assert [cut.id for cut in cuts] == ["0-2", "0-3", "ann", "bob"]
    assert [cut.recording.id for cut in cuts] == ["0-2", "0-3", "ann", "bob"]
    both, _ = cuts_of(f"train={file}", f"test={write(folder, 'file,words,name' + chr(10) + rows[:15], 'other.csv')}")
    assert [cut.id for cut in both] == ["0-train-2", "0-train-3", "ann", "bob", "0-test-2"]
    named, skipped = cuts_of(file, columns=Columns(audio="file", text="words", id="name"))
    assert [cut.id for cut in named] == ["x", "y", "z"]
    assert skipped == {"table.csv, line 5": "no id"}


def test_parts_of_files(folder):
    write_wav(folder / "meeting.wav", 3.0)
    rows = ("0,1.5", "1.5,", ",", "nan,1", "-1,1", "2,1", "2,3.5", "0,1e999", "zero,1", "7,")
    content = "file,words,from,to\n" + "".join(f"meeting.wav,ONE,{row}\n" for row in rows)
    columns = Columns(audio="file", text="words", start="from", end="to")
    cuts, skipped = cuts_of(write(folder, content), columns=columns)
    assert {cut.id: (cut.start, cut.duration) for cut in cuts} == {
        "meeting-2": (0.0, 1.5),
        "meeting-3": (1.5, 1.5),
        "meeting-4": (0.0, 3.0),
    }
    assert len({id(cut.recording) for cut in cuts}) == 1
    whole = soundfile.read(folder / "meeting.wav", dtype="float32")[0]
    assert (mono_audio(cuts[1])[0] == whole[12000:]).all()
    cannot, outside = "times that cannot be", "times outside the recording"
    assert list(skipped.values()) == [cannot, cannot, cannot, outside, cannot, cannot, outside]
    huge = write(folder, '{"file": "meeting.wav", "words": "ONE", "from": 1' + "0" * 400 + "}", "huge.jsonl")
    assert cuts_of(huge, columns=Columns(audio="file", text="words", start="from")) == ([], {"meeting": cannot})


def test_rows_that_cannot_be_used_cost_no_other(folder):
    file = write(
        folder,
        "file,words,x\n0.wav,ONE,a\n1.wav,TWO\n2.wav,THREE,b,c\n,FOUR,d\nnowhere.wav,FIVE,e\ntable.csv,SIX,f\n3.wav,,g\n",
    )
    cuts, skipped = cuts_of(file)
    assert texts_of(cuts) == {"0": "ONE", "3": None}  # whose empty text `prepare` names
    assert skipped == {
        "table.csv, line 3": "row that cannot be read",
        "table.csv, line 4": "row that cannot be read",
        "table.csv, line 5": "no audio",
        "nowhere": "unreadable recording",
        "table": "unreadable recording",
    }


def test_a_quotation_mark_swallows_no_rows(folder):
    """As csv reads it by default, the text of the first row would go on to the last mark."""
    rows = '0.wav\t"ONE\n1.wav\tTWO"\n2.wav\tTHREE\n'
    cuts, skipped = cuts_of(write(folder, "file\twords\n" + rows, "table.tsv"))
    assert texts_of(cuts) == {"0": '"ONE', "1": 'TWO"', "2": "THREE"}
    assert not skipped
    with refused("table.csv, line 3: .*quotation marks in pairs", folder):
        cuts_of(write(folder, 'file,words\n0.wav,"ONE\n1.wav,"TWO\n2.wav,THREE\n'))
    with refused("table.csv, line 2: .*quotation marks in pairs"):
        cuts_of(write(folder, 'file,words\n0.wav,"ONE"x\n'))


def test_lines_that_are_no_json_cost_no_other(folder):
    good = '{"file": "0.wav", "words": "ONE"}'
    content = "\n".join([good, "{", "[]", '{"file": 7, "words": "TWO"}', '{"words": "X"}', "[" * 5000, ""])
    cuts, skipped = cuts_of(write(folder, content, "table.jsonl"))
    assert texts_of(cuts) == {"0": "ONE"}
    unread = "row that cannot be read"
    assert [skipped.get(f"table.jsonl, line {line}") for line in range(2, 7)] == [
        unread, unread, "no audio", "no audio", unread
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is empty; give a table whose first line names"),
        ("\n\n", "is empty"),
        ("path,words\n", "has no column 'file'; known: path, words"),
        ("fiel,words\n", "has no column 'file'; did you mean 'fiel'?"),
        ("file,words,x,x\n", "has the column 'x' twice"),
        (b"file,words\n0.wav,\xe9\n", "line 2: it is no text in UTF-8"),
        ("file,words\n".encode("utf-16"), "line 1: it is no text in UTF-8"),
        ("file,words\n0.wav," + "x" * 200_000, "line 2: field larger than"),
        ("file,words\n0.wav," + "x" * 2_000_000, "line 2: it is longer than 1 MiB"),
        ("file,words\r0.wav,ONE\r", "line 1: "),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(folder, content, line):
    with refused(line, folder / "table.csv"):
        cuts_of(write(folder, content))


def test_what_is_no_table(folder):
    with refused("no table that can be read", folder / "0.wav"):
        cuts_of(folder / "0.wav")
    with refused("no such table", folder / "nowhere.csv"):
        cuts_of(folder / "nowhere.csv")
    (folder / "folder.csv").mkdir()
    with refused("no such table", folder / "folder.csv"):
        cuts_of(folder / "folder.csv")
    with refused("holds no rows", folder / "table.jsonl"):
        cuts_of(write(folder, "[]\n", "table.jsonl"))


def test_which_column_is_what_has_to_be_said(folder):
    file = write(folder, "file,words\n0.wav,ONE\n")
    with refused("say with --audio which column of .* is the audio: 'file', 'words'"):
        table_corpus([file])
    with refused("has no column 'path', which --preset commonvoice takes for the audio"):
        table_corpus([file], preset="commonvoice")
    with refused("--text", "'transcription' or 'text'"):
        table_corpus([write(folder, "file_name,words\n0.wav,ONE\n")], preset="audiofolder")
    with refused("no such --preset: 'comonvoice'; did you mean 'commonvoice'"):
        table_corpus([file], preset="comonvoice")


def test_a_speaker_is_needed_only_where_speakers_matter(folder):
    corpus = table_corpus([write(folder, "file,words,room\n0.wav,ONE,a\n1.wav,TWO,b\n")], COLUMNS)
    with pytest.raises(HraError, match=r"--task-by speaker: no utterance has it; .*room"):
        cuts_by_task(corpus.cuts()[0], "speaker")
    assert [cut.custom["task"] for cut in cuts_by_task(corpus.cuts()[0], "room")[0]] == ["a", "b"]


def test_a_changed_table_is_another_corpus(folder):
    file = write(folder, "file,words,speaker\n0.wav,ONE,ann\n")
    options = (folder / "data", Assignment(), PrepareOptions(num_jobs=1, on_the_fly=True))
    assert not prepare_corpus(table_corpus([file], COLUMNS), *options).was_there
    assert prepare_corpus(table_corpus([file], COLUMNS), *options).was_there
    write(folder, "file,words,speaker\n0.wav,TWO,ann\n")
    with refused("prepared with other arguments", "sha256"):
        prepare_corpus(table_corpus([file], COLUMNS), *options)
