"""Kaldi's data folders: what is in them is found, what is wrong with them is named, and nothing of them runs."""

import collections
import os

import pytest
import soundfile
from builders import refused
from cut_lists import cuts_by_task
from recordings import write_wav

from hra_cli.data.audio import mono_audio
from hra_cli.data.corpora.kaldi import kaldi_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment
from hra_cli.data.task_index import load_tasks


def write_folder(folder, **files):
    """A data folder of two utterances of ann and one of bob, at a rate of 8 kHz; files: others, or other content."""
    for number, id_ in enumerate(("ann-1", "ann-2", "bob-1")):
        write_wav(folder / "audio" / f"{id_}.wav", 0.5 + 0.1 * number, seed=number)
    files = {
        "wav.scp": "ann-1\taudio/ann-1.wav\nann-2 audio/ann-2.wav\nbob-1   audio/bob-1.wav  \n",
        "text": "ann-1 ONE TWO\nann-2\tTHREE\nbob-1 FOUR\n",
        "utt2spk": "ann-1 ann\nann-2 ann\nbob-1 bob\n",
        **{name.replace("wav_scp", "wav.scp"): content for name, content in files.items()},
    }
    for name, content in files.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def cuts_of(*folders, **options):
    """The cuts by id, and what was left out and why."""
    cuts, skipped = kaldi_corpus(list(folders), **options).cuts()
    found = {cut.id: cut for cut in cuts}
    return found, {one.id: one.reason for one in skipped}


def text_of(cut):
    return cut.supervisions[0].text


def test_a_folder_says_text_speaker_and_what_else_is_known(tmp_path):
    folder = write_folder(
        tmp_path,
        spk2gender="ann f\nbob m\n",
        spk2age="ann 41\nbob 7\n",
        utt2lang="ann-1 en\n",
        utt2room="ann-1 big hall\n",
        utt2dur="ann-1 0.5\n",
        spk2utt="ann ann-1 ann-2\nbob bob-1\n",
    )
    cuts, skipped = cuts_of(folder)
    assert not skipped
    assert {id_: text_of(cut) for id_, cut in cuts.items()} == {"ann-1": "ONE TWO", "ann-2": "THREE", "bob-1": "FOUR"}
    first, last = cuts["ann-1"].supervisions[0], cuts["bob-1"].supervisions[0]
    assert (first.speaker, first.gender, first.language) == ("ann", "f", "en")
    assert first.custom == {"age": "41", "room": "big hall"}
    assert (last.speaker, last.gender, last.language, last.custom) == ("bob", "m", None, {"age": "7"})
    assert cuts["ann-2"].duration == 0.6


def test_all_of_speechocean(shared):
    """Two folders that are two splits, and one whose splits are drawn."""
    digits = shared / "data" / "speechocean762-digits"
    corpus = kaldi_corpus([f"train={digits / 'train'}", f"test={digits / 'test'}"])
    cuts, skipped = cuts_by_task(corpus.cuts()[0], "gender", corpus.split_by)
    assert not skipped
    counts = collections.Counter((cut.custom["task"], cut.custom["split"]) for cut in cuts)
    assert counts == {("f", "train"): 34, ("m", "train"): 43, ("f", "test"): 13, ("m", "test"): 28}
    mini, skipped = cuts_of(shared / "data" / "speechocean762-mini" / "train")
    assert not skipped
    assert collections.Counter(cut.supervisions[0].custom["age"] for cut in mini.values()) == {"6": 60, "21": 20}
    assert text_of(mini["000010035"]) == "ZERO THREE FIVE ONE"


def test_segments_are_parts_of_recordings(tmp_path):
    write_wav(tmp_path / "meeting.wav", 3.0)
    folder = write_folder(
        tmp_path,
        wav_scp="meeting meeting.wav\n",
        segments="ann-1 meeting 0.25 1.0\nbob-1 meeting 1.0 -1\n",
        text="ann-1 ONE\nbob-1 TWO\n",
    )
    cuts, skipped = cuts_of(folder)
    assert not skipped
    assert {id_: (cut.start, cut.duration, text_of(cut)) for id_, cut in cuts.items()} == {
        "ann-1": (0.25, 0.75, "ONE"),
        "bob-1": (1.0, 2.0, "TWO"),
    }
    whole = soundfile.read(tmp_path / "meeting.wav", dtype="float32")[0]
    assert (mono_audio(cuts["ann-1"])[0] == whole[2000:8000]).all()
    trimmed, _ = cuts_by_task(cuts.values(), "speaker")
    assert [cut.id for cut in trimmed] == ["ann-1", "bob-1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x meeting 0.5 nan", "times that cannot be"),
        ("x meeting 0 1e999", "times that cannot be"),
        ("x meeting -0.5 1", "times that cannot be"),
        ("x meeting 1 0.5", "times that cannot be"),
        ("x meeting 0.5 0.5", "times that cannot be"),
        ("x meeting 1 3.5", "times outside the recording"),
        ("x meeting 9 -1", "times outside the recording"),
        ("x meeting 0 1 5", "channel that the recording lacks"),
        ("x meeting zero 1", "line that is no segment"),
        ("x meeting 1", "line that is no segment"),
        ("x", "line that is no segment"),
        ("x meeting 0 1 0 0", "line that is no segment"),
        ("x nowhere 0 1", "no audio"),
    ],
)
def test_a_segment_that_cannot_be_costs_no_other_its_place(tmp_path, line, reason):
    write_wav(tmp_path / "meeting.wav", 3.0)
    folder = write_folder(
        tmp_path,
        wav_scp="meeting meeting.wav\n",
        segments=f"a meeting 0 1\n{line}\nb meeting 2 3.01\n",
        text="a ONE\nx TWO\nb THREE\n",
    )
    cuts, skipped = cuts_of(folder)
    assert set(cuts) == {"a", "b"}
    assert cuts["b"].duration == 1.0  # what is beyond the end by a hundredth is rounding
    assert skipped == {"x": reason}


def test_sides_of_a_telephone_call(tmp_path):
    write_wav(tmp_path / "call.wav", 1.0, channels=2)
    write_wav(tmp_path / "mono.wav", 1.0)
    folder = write_folder(
        tmp_path,
        wav_scp="call-A call.wav\ncall-B call.wav\nmono mono.wav\n",
        text="call-A ONE\ncall-B TWO\nmono THREE\n",
        reco2file_and_channel="call-A call A\ncall-B call B\n",
    )
    cuts, skipped = cuts_of(folder)
    assert not skipped
    both = soundfile.read(tmp_path / "call.wav", dtype="float32")[0]
    for id_, side in (("call-A", 0), ("call-B", 1)):
        assert (mono_audio(cuts[id_])[0] == both[:, side]).all()
    # As in Switchboard's recipe, where a command gives one side of a call.
    write_wav(tmp_path / "side-B.wav", 1.0)
    one_side = write_folder(
        tmp_path,
        wav_scp="call-B side-B.wav\n",
        text="b ONE\n",
        segments="b call-B 0.25 0.75\n",
        reco2file_and_channel="call-B call B\n",
    )
    cuts, skipped = cuts_of(one_side)
    assert not skipped
    side = soundfile.read(tmp_path / "side-B.wav", dtype="float32")[0]
    assert (mono_audio(cuts["b"])[0] == side[len(side) // 4 : len(side) * 3 // 4]).all()
    write_folder(tmp_path, wav_scp="call-A call.wav\n", text="call-A ONE\n", segments=None)
    with refused("channel of 'call-A' is 'C'", folder / "reco2file_and_channel"):
        cuts_of(write_folder(folder, reco2file_and_channel="call-A call C\n"))


def test_paths_are_relative_to_the_folder_or_what_is_above_it_or_the_root(tmp_path, monkeypatch):
    kept = {name: f"{name}-1 speech/{name}.wav\n" for name in ("inside", "beside", "above")}
    for name, place in (("inside", "s5/data/inside"), ("beside", "s5/data"), ("above", "s5")):
        write_wav(tmp_path / place / "speech" / f"{name}.wav")
        folder = tmp_path / "s5" / "data" / name
        folder.mkdir(exist_ok=True)
        write_folder(folder, wav_scp=kept[name], text=f"{name}-1 ONE\n")
        corpus = kaldi_corpus([folder])
        assert [cut.id for cut in corpus.cuts()[0]] == [f"{name}-1"]
        assert corpus.notes == (f"{folder / 'wav.scp'}: paths are relative to {tmp_path / place}",)
    folder = tmp_path / "s5" / "data" / "above"
    moved = (tmp_path / "s5" / "speech").rename(tmp_path / "speech")
    with refused("none of its audio files is there", folder / "wav.scp", "--root"):
        cuts_of(folder)
    assert set(cuts_of(folder, root=tmp_path)[0]) == {"above-1"}
    assert not kaldi_corpus([folder], root=tmp_path).notes
    with refused("no such folder", tmp_path / "nowhere"):
        kaldi_corpus([folder], root=tmp_path / "nowhere")
    (folder / "wav.scp").write_text(f"above-1 {moved / 'above.wav'}\n")
    assert set(cuts_of(folder)[0]) == {"above-1"}
    monkeypatch.chdir(tmp_path / "s5" / "data" / "beside")
    assert set(cuts_of(".")[0]) == {"beside-1"}


def test_nothing_in_a_folder_runs_unless_it_may(tmp_path):
    folder = write_folder(tmp_path, wav_scp="ann-1 audio/ann-1.wav\nann-2 touch ran; cat audio/ann-2.wav |\n")
    with refused("wav.scp, line 2: .*shell command", "touch ran", "--allow-commands"):
        kaldi_corpus([folder])
    corpus = kaldi_corpus([folder], root=tmp_path, allow_commands=True)
    assert not (tmp_path / "ran").exists()
    cuts = {cut.id: cut for cut in corpus.cuts()[0]}
    assert (tmp_path / "ran").exists()
    assert cuts["ann-2"].duration == 0.6
    expected = soundfile.read(tmp_path / "audio" / "ann-2.wav", dtype="float32")[0]
    assert (mono_audio(cuts["ann-2"], allow_commands=True)[0] == expected).all()
    with refused("which is run or opened only where"):
        mono_audio(cuts["ann-2"])


def test_a_command_that_fails_costs_one_utterance(tmp_path):
    folder = write_folder(tmp_path, wav_scp="ann-1 audio/ann-1.wav\nann-2 false |\nbob-1 echo no audio |\n")
    cuts, skipped = cuts_of(folder, allow_commands=True)
    assert set(cuts) == {"ann-1"}
    assert skipped == {"ann-2": "unreadable recording", "bob-1": "unreadable recording"}


@pytest.mark.parametrize("place", ["-", "| cat", "audio.ark:123", "/far/audio.ark:17[0:5]"])
def test_what_is_no_audio_file_is_refused(tmp_path, place):
    folder = write_folder(tmp_path, wav_scp=f"ann-1 {place}\n")
    for allow_commands in (False, True):
        with refused("wav.scp, line 1: ", place):
            kaldi_corpus([folder], allow_commands=allow_commands)


def test_what_is_missing_is_named_and_costs_no_other(tmp_path):
    folder = write_folder(
        tmp_path,
        wav_scp="ann-1 audio/ann-1.wav\nann-2 audio/nowhere.wav\nbob-1 text\ncyd-1 audio\ndan-1 audio/bob-1.wav\n",
        text="ann-1 ONE\nann-2 TWO\nbob-1 THREE\ncyd-1 FOUR\neve-1 FIVE\n",
        utt2spk="ann-2 ann\n",
    )
    cuts, skipped = cuts_of(folder)
    assert set(cuts) == {"ann-1"}
    assert skipped == {
        "ann-2": "unreadable recording",
        "bob-1": "unreadable recording",
        "cyd-1": "unreadable recording",
        "dan-1": "no text",
        "eve-1": "no audio",
    }


def test_whoever_has_no_speaker_is_left_out_only_where_speakers_matter(tmp_path):
    folder = write_folder(tmp_path, utt2spk="ann-1 ann\n", utt2room="ann-1 a\nann-2 a\nbob-1 b\n")
    cuts, skipped = cuts_by_task(cuts_of(folder)[0].values(), "speaker")
    assert [cut.id for cut in cuts] == ["ann-1"]
    assert {(one.id, one.reason) for one in skipped} == {("ann-2", "no speaker"), ("bob-1", "no speaker")}
    cuts, skipped = cuts_by_task(cuts_of(folder)[0].values(), "room")
    assert [cut.custom["task"] for cut in cuts] == ["a", "a", "b"]
    assert not skipped


def test_lines_of_windows_and_of_other_languages(tmp_path):
    folder = write_folder(
        tmp_path,
        wav_scp="\ufeffann-1 audio/ann-1.wav\r\nann-2\taudio/ann-2.wav\r\n\r\nbob-1 audio/bob-1.wav",
        text="ann-1  日本\u3000語 \r\nann-2 ÉTÉ\u00a0LÀ\r\nbob-1\r\n",
    )
    cuts, skipped = cuts_of(folder)
    assert not skipped
    assert {id_: text_of(cut) for id_, cut in cuts.items()} == {
        "ann-1": "日本\u3000語",
        "ann-2": "ÉTÉ\u00a0LÀ",
        "bob-1": "",
    }


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("text", b"ann-1 ONE\nann-2 \xff\xfe\n", "text, line 2: it is no text in UTF-8"),
        ("text", b"ann-1 " + b"ONE " * 300_000, "text, line 1: it is longer than 1 MiB"),
        ("text", "ann-1 ONE\nann-1 TWO\n", "text, line 2: 'ann-1' is 'TWO' here and 'ONE' above"),
        ("utt2spk", "ann-1 ann\nann-1 bob\n", "utt2spk, line 2: 'ann-1' is 'bob' here and 'ann' above"),
        ("wav_scp", "ann-1 audio/ann-1.wav\nann-2\n", "wav.scp, line 2: there is no audio for 'ann-2'"),
        ("wav_scp", "ann-1 a.wav\nann-1 b.wav\n", "wav.scp, line 2: 'ann-1' is 'b.wav' here and 'a.wav' above"),
        ("segments", "s ann-1 0 1\ns ann-1 0 2\n", "segments, line 2: 's' is 'ann-1 0 2' here and 'ann-1 0 1' above"),
        ("text", None, "has no file `text`"),
        ("wav_scp", None, "is no data folder of Kaldi's"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_its_line(tmp_path, name, content, line):
    folder = write_folder(tmp_path, **{name: content})
    with refused(line, tmp_path):
        cuts_of(folder)


def test_a_file_that_cannot_be_read_is_no_missing_one(tmp_path):
    """Segments behind a broken link, say, are not whole recordings."""
    folder = write_folder(tmp_path)
    os.symlink("nowhere", folder / "segments")
    with refused("no such file", folder / "segments"):
        cuts_of(folder)
    (folder / "segments").unlink()
    (folder / "utt2spk").unlink()
    (folder / "utt2spk").mkdir()
    with refused("no such file", folder / "utt2spk"):
        cuts_of(folder)


def test_ids_that_no_result_could_hold_are_skipped(tmp_path):
    folder = write_folder(
        tmp_path, wav_scp="a\x1b[31m audio/ann-1.wav\n../b/c audio/ann-2.wav\n", text="a\x1b[31m ONE\n../b/c TWO\n"
    )
    cuts, skipped = cuts_of(folder)
    assert set(cuts) == {"../b/c"}
    assert skipped == {"a\x1b[31m": "id with control characters"}


def test_names_of_splits(tmp_path):
    folder = write_folder(tmp_path, utt2split="ann-1 test\nann-2 test\nbob-1 test\n")
    for one in (folder, f"eval={folder}"):
        with refused(f"several are several splits: write train=PATH, dev=PATH or test=PATH, not {one}"):
            kaldi_corpus([one, f"test={folder}"])
    with refused("no such folder: fold=", folder):
        kaldi_corpus([f"fold={folder}"])
    with refused("names no path", "train="):
        kaldi_corpus(["train="])
    corpus = kaldi_corpus([f"valid={folder}"])
    assert {cut.custom["split"] for cut in cuts_by_task(corpus.cuts()[0], "speaker", corpus.split_by)[0]} == {"dev"}
    alone = kaldi_corpus([folder])
    assert alone.split_by is None
    assert {cut.custom["split"] for cut in cuts_by_task(alone.cuts()[0], "speaker", "split")[0]} == {"test"}


def test_folders_that_share_recordings(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, segment in ((first, "a-1 ann-1 0 0.2"), (second, "a-2 ann-1 0.2 0.5")):
        write_folder(folder, segments=segment + "\n", text=f"{segment.split()[0]} ONE\n")
    with refused("recording 'ann-1' is", first / "audio" / "ann-1.wav", second):
        cuts_of(f"train={first}", f"test={second}")
    (second / "wav.scp").write_text(f"ann-1 {first / 'audio' / 'ann-1.wav'}\n")
    cuts, skipped = cuts_of(f"train={first}", f"test={second}")
    assert not skipped
    assert cuts["a-1"].recording is cuts["a-2"].recording


def test_a_changed_folder_is_another_corpus(tmp_path):
    folder = write_folder(tmp_path / "kaldi")
    options = (tmp_path / "data", Assignment(), PrepareOptions(num_jobs=1, on_the_fly=True))
    assert not prepare_corpus(kaldi_corpus([folder]), *options).was_there
    assert prepare_corpus(kaldi_corpus([folder]), *options).was_there
    assert load_tasks(tmp_path / "data").names == ["ann", "bob"]
    (folder / "README").write_text("says nothing of utterances")
    assert prepare_corpus(kaldi_corpus([folder]), *options).was_there
    (folder / "text").write_text("ann-1 NINE\nann-2 THREE\nbob-1 FOUR\n")
    with refused("prepared with other arguments", "sha256"):
        prepare_corpus(kaldi_corpus([folder]), *options)
