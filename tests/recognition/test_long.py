"""Recordings of any length: taken apart, recognised in little memory, and put together again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from builders import random_adapter, refused, tiny_backbone
from lhotse import CutSet
from speech import BACKBONE, hra

from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.batches import audio_file_cut, audio_file_cuts
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.recognition.audio_options import AudioOptions
from hra_cli.recognition.batch import decode_cuts, for_task
from hra_cli.recognition.decode_audio import decode_audio
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.streamed import StreamingRecogniser
from hra_cli.recognition.tasks_table import read_tasks
from hra_cli.recognition.windows import whole, windows

RATE = 16000


@pytest.fixture(scope="module")
def spoken(data):
    return sorted((data.parent / "speech").rglob("fr-test-*.wav"))


@pytest.fixture(scope="module")
def long_file(data, tmp_path_factory):
    """A minute and a half of phrases, in stereo, whose right channel is silent for its second half."""
    parts, seconds = [], 0.0
    for file in sorted((data.parent / "speech").rglob("*.wav")):
        samples, rate = soundfile.read(file)
        parts += [samples, np.zeros(rate // 4)]
        seconds += len(samples) / rate + 0.25
        if seconds > 90:
            break
    left = np.concatenate(parts)
    right = np.where(np.arange(len(left)) < len(left) // 2, left, 0)
    path = tmp_path_factory.mktemp("long") / "meeting.flac"
    soundfile.write(path, np.stack([left, right], axis=1), rate)
    return path


@pytest.fixture(scope="module")
def recogniser():
    """Random weights, which find something everywhere: what windows and seams do shows in every word."""
    tokenizer = load_tokenizer(BACKBONE)
    backbone = tiny_backbone(vocab_size=tokenizer.vocab_size)
    return Recogniser(backbone, tokenizer, random_adapter(["ann", "bob"], backbone.width))


def cut_of_length(tmp_path, seconds):
    path = tmp_path / f"{seconds}.wav"
    soundfile.write(path, np.zeros(round(seconds * 1000)), 1000)
    return audio_file_cut(path)


@pytest.mark.parametrize("seconds", [0.1, 5.0, 36.0, 36.01, 36.2, 65.9, 66.0, 66.1, 100.0, 601.37])
def test_windows_cover_all_overlap_and_are_no_longer_than_36_s(tmp_path, seconds):
    found = windows(cut_of_length(tmp_path, seconds))
    frames = round(seconds * 100)
    assert found[0][0] == 0
    assert found[-1][1] == frames
    assert len(found) == 1 if seconds <= 36 else len(found) > 1
    assert all(end - begin <= 3600 + 4 and begin % 4 == 0 for begin, end in found)
    for (_, end), (begin, _) in zip(found, found[1:]):
        assert 600 <= end - begin <= 604
    assert whole(cut_of_length(tmp_path, seconds)) == [(0, frames)]


def test_a_file_that_fits_into_a_window_comes_out_as_ever(recogniser, spoken):
    cuts = for_task(audio_file_cuts(spoken), recogniser, "ann")
    batch = {one.id: one for one in decode_cuts(recogniser, cuts).utterances}
    for cut in cuts:
        features = torch.from_numpy(cut.load_audio())  # 22 kHz and one channel: nothing else is done to it
        assert features.shape[0] == 1
        (alone,) = decode_cuts(recogniser, CutSet.from_cuts([cut])).utterances
        assert alone == batch[cut.id]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_windows_of_several_files_are_mixed_in_a_batch_each_with_its_own_head(
    recogniser, long_file, spoken, num_workers
):
    long, short = audio_file_cut(long_file), audio_file_cut(spoken[0])
    cuts = [*for_task([long], recogniser, "ann"), *for_task([short], recogniser, "bob")]
    alone = [decode_cuts(recogniser, CutSet.from_cuts([cut]), max_duration=20).utterances[0] for cut in cuts]
    together = decode_cuts(recogniser, CutSet.from_cuts(cuts), max_duration=150, num_workers=num_workers).utterances
    assert {one.id: one for one in together} == {one.id: one for one in alone}
    assert len(alone[0].tokens) > 100
    assert max(alone[0].times) > 85


def test_words_of_windows_are_those_of_the_whole(long_file, tmp_path):
    """By a recogniser of random weights that looks two seconds back and no farther, so that at 3 s from a window's edge
    it says what it says within the whole. Its chunks begin where windows do."""
    samples, rate = soundfile.read(long_file, dtype="float32")
    soundfile.write(tmp_path / "a.wav", np.resize(samples[:, 0], round(94.32 * rate)), rate)
    tokenizer = load_tokenizer(BACKBONE)
    causal = tiny_backbone(causal=True, chunk_size=16, left_context_frames=16, vocab_size=tokenizer.vocab_size)
    cuts, found = audio_file_cuts([tmp_path / "a.wav"]), {}
    assert [begin % 32 for begin, _ in windows(next(iter(cuts)))] == [0, 0, 0]
    for name, split in (("windows", windows), ("whole", whole)):
        parts = Recogniser(causal, tokenizer).decode_in_order(cuts, split=split)
        (found[name],) = [one for part in parts for one in part.utterances]
    assert len(found["whole"].tokens) > 100
    assert found["windows"].tokens == found["whole"].tokens
    assert found["windows"].times == found["whole"].times


def test_long_cuts_of_prepared_data_are_taken_apart_too(recogniser, long_file):
    cut = next(iter(for_task([audio_file_cut(long_file)], recogniser, "ann")))
    (audio,) = decode_cuts(recogniser, CutSet.from_cuts([cut])).utterances
    later = cut.truncate(offset=20.0, preserve_id=True)
    (found,) = decode_cuts(recogniser, CutSet.from_cuts([later])).utterances
    assert 0 < len(found.tokens) < len(audio.tokens)
    assert max(found.times) < max(audio.times) - 15


def test_a_stream_of_a_long_file_is_that_of_its_whole_features(long_file):
    tokenizer = load_tokenizer(BACKBONE)
    options = BackboneOptions(chunk_size=32, left_context_frames=64)
    backbone = tiny_backbone(causal=True, chunk_size=32, left_context_frames=64, vocab_size=tokenizer.vocab_size)
    assert backbone.options.chunk_size == options.chunk_size
    stream = StreamingRecogniser(Recogniser(backbone, tokenizer))
    cut = audio_file_cut(long_file)
    (found,) = decode_cuts(stream, CutSet.from_cuts([cut])).utterances
    assert found.times[-1] > 85
    assert stream.latency.streams == 1


def test_files_have_tasks_of_their_own_by_a_table(experiment, spoken, data, tmp_path):
    german = sorted((data.parent / "speech").rglob("de-test-*.wav"))[:2]
    files = [*spoken[:2], *german]
    table = tmp_path / "tasks.tsv"
    table.write_text(
        "file\tnote\ttask\n" + "".join(f"{os.path.relpath(one, tmp_path)}\tx\t{one.name[:2]}\n" for one in files)
    )
    config = {"exp_dir": experiment, "audio_options": AudioOptions(tasks_from=table)}
    found = decode_audio(DecodeConfig(BACKBONE, **config)).transcripts
    assert [os.path.realpath(one.file) for one in found] == list(map(os.path.realpath, files))
    assert [one.found.task for one in found] == ["fr", "fr", "de", "de"]
    for task, some in (("fr", spoken[:2]), ("de", german)):
        own = decode_audio(DecodeConfig(BACKBONE, audio=tuple(some), exp_dir=experiment, tasks=(task,))).transcripts
        assert [one.text for one in own] == [one.text for one in found if one.found.task == task]
    (only,) = decode_audio(DecodeConfig(BACKBONE, audio=(german[1],), **config)).transcripts
    assert only.text == found[3].text
    with refused("has no row for", table, spoken[3]):
        decode_audio(DecodeConfig(BACKBONE, audio=(spoken[3],), **config))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no columns 'file' and 'task'"),
        ("path,task\na.wav,fr\n", "has no columns 'file' and 'task'"),
        ("file,task\n", "names no file"),
        ("file,task\nnowhere.wav,fr\n", "line 2: there is no file"),
        ("file,task\na.wav,\n", "line 2: the task is missing"),
        ("file,task\na.wav,fr\n./a.wav,de\n", "line 3: ./a.wav has the task 'de' here and 'fr' above"),
        ("file,task\na.wav,fr\n../{folder}/a.wav,de\n", "line 3: .*a.wav has the task 'de' here and 'fr' above"),
        ("file,task\na.wav,fr,de\n", "line 2 has 3 cells, and there are 2 columns"),
        ("file,task,task\na.wav,fr,de\n", "has two columns 'task'"),
        ('file,task\na.wav,"fr\n', "line 2: unexpected end of data"),
        ("file,task\na.wav,french\n", "no head for .*'french'"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(experiment, tmp_path, content, message):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    table = tmp_path / "tasks.csv"
    table.write_text(content.replace("{folder}", tmp_path.name))
    options = AudioOptions(tasks_from=table)
    with refused(message):
        decode_audio(DecodeConfig(BACKBONE, exp_dir=experiment, audio_options=options))


def test_a_table_has_files_with_lines_in_their_names(tmp_path):
    names = ["two\nlines.wav", "a\u2028b.wav", "a b.wav"]
    for name in names:
        (tmp_path / name).touch()
    table = tmp_path / "tasks.csv"
    table.write_bytes(("file,task\r\n" + "".join(f'"{name}",fr\r\n' for name in names)).encode())
    assert read_tasks(table) == {tmp_path / name: "fr" for name in names}


def test_two_files_of_one_name_in_ctm_are_refused_before_the_work():
    options = AudioOptions(format="ctm")
    with refused("a b.wav and .*a_b.wav would both be called 'a_b' in --format ctm"):
        decode_audio(
            DecodeConfig(BACKBONE, audio=(Path("a b.wav"), Path("a_b.wav")), no_heads=True, audio_options=options)
        )


def test_stereo_becomes_one_text_or_two(long_file, tmp_path, spoken):
    command = ["decode", "--backbone", BACKBONE, "--no-heads", "--format", "json"]
    left, right = soundfile.read(spoken[0])[0], soundfile.read(spoken[1])[0]
    length = max(len(left), len(right))
    stereo = np.stack([np.pad(one, (0, length - len(one))) for one in (left, right)], axis=1)
    soundfile.write(tmp_path / "call.wav", stereo, soundfile.info(spoken[0]).samplerate)
    for n, samples in enumerate(stereo.T):
        soundfile.write(tmp_path / f"{n}.wav", samples, soundfile.info(spoken[0]).samplerate)
    each = [json.loads(line) for line in hra(*command, tmp_path / "call.wav", "--channels", "each").stdout.splitlines()]
    alone = [json.loads(line) for line in hra(*command, tmp_path / "0.wav", tmp_path / "1.wav").stdout.splitlines()]
    assert [one["channel"] for one in each] == [1, 2]
    assert [one["text"] for one in each] == [one["text"] for one in alone]
    assert "channel" not in json.loads(hra(*command, tmp_path / "call.wav").stdout)


def test_hra_writes_a_file_for_each_audio_file(causal_recogniser, long_file, spoken, tmp_path):
    command = ["decode", long_file, spoken[0], "--backbone", causal_recogniser, "--no-heads"]
    done = hra(*command, "--format", "vtt", "--output-dir", tmp_path / "texts")
    names = {"meeting.vtt", f"{spoken[0].stem}.vtt"}
    assert {file.name for file in (tmp_path / "texts").iterdir()} == names
    assert done.stdout.splitlines() == [
        f"{file}\t{tmp_path / 'texts' / file.stem}.vtt" for file in (long_file, spoken[0])
    ]
    assert (tmp_path / "texts" / "meeting.vtt").read_text().startswith("WEBVTT\n\n00:00:0")
    command[1:3] = [spoken[0], spoken[1]]
    ctm = hra(*command, "--format", "ctm").stdout.splitlines()
    texts = dict(line.split("\t") for line in hra(*command).stdout.splitlines())
    for file in spoken[:2]:
        rows = [line.split() for line in ctm if line.startswith(f"{file.stem} 1 ")]
        assert [row[4] for row in rows] == texts[str(file)].split()
        starts = [float(row[2]) for row in rows]
        assert starts == sorted(starts)
    for form in ("srt", "vtt"):
        done = hra(*command, "--format", form, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--format {form} of several files needs --output-dir" in done.stderr
    other = tmp_path / long_file.name
    other.write_bytes(long_file.read_bytes())
    done = hra("decode", long_file, other, *command[3:], "--output-dir", tmp_path / "same", check=False)
    assert "would both be called 'meeting'" in done.stderr
    assert not (tmp_path / "same").exists()


def test_memory_does_not_grow_with_the_length(causal_recogniser, long_file, tmp_path):
    """A command's peak memory, for a file of a minute and a half and one three times as long. It varies by 80 MB from
    run to run, whatever the length, since windows are read ahead while others are encoded: so 250 MB are allowed. What
    is to be seen here is of another size: whole, the longer file needs gigabytes.
    """
    samples, rate = soundfile.read(long_file)
    soundfile.write(tmp_path / "longer.flac", np.tile(samples, (3, 1)), rate)
    peaks = []
    for file in (long_file, tmp_path / "longer.flac"):
        command = [sys.executable, "-m", "hra_cli", "decode", file, "--backbone", causal_recogniser, "--no-heads"]
        process = subprocess.Popen([*map(str, command), "--max-duration", "40"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] < peaks[0] + 250
