"""What `hra decode` does, from Python."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from builders import refused
from data_folders import change_tasks, write_split
from rich.progress import Progress
from speech import BACKBONE, TASKS, hra

from hra_cli.app import main
from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.task_index import load_tasks
from hra_cli.recognition.audio_options import AudioOptions
from hra_cli.recognition.decode import decode_data
from hra_cli.recognition.decode_audio import decode_audio
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.scoring.results import read_recogs


def test_data_is_decoded_scored_and_written_as_the_command_does(data, experiment, tmp_path):
    found = decode_data(DecodeConfig(BACKBONE, data, exp_dir=experiment, output_dir=tmp_path / "python"))
    command = ["decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", experiment]
    hra(*command, "--output-dir", tmp_path / "command", "--json", tmp_path / "wer.json")
    written, mine = json.loads((tmp_path / "wer.json").read_text()), found.as_json()
    assert set(written) == set(mine)
    assert written["tasks"] == mine["tasks"]
    assert set(mine["tasks"]) == set(TASKS)
    assert found.scores.total.words == mine["total"]["words"] > 0
    files = sorted((tmp_path / "python").iterdir())
    assert files == sorted([found.files.recogs, found.files.errs, found.files.wer_summary])
    for file in files:
        assert file.read_text() == (tmp_path / "command" / file.name).read_text()


def test_results_lie_below_the_experiment_by_method_and_nowhere_without_one(data, experiment):
    found = decode_data(DecodeConfig(BACKBONE, data, exp_dir=experiment, split="dev", tasks=("fr",)))
    assert found.files.recogs == experiment / "greedy_search" / "recogs-dev-greedy_search.txt"
    assert {one.id for one in read_recogs(found.files.recogs)} == {one.id for one in found.decoded.utterances}
    for file in (found.files.recogs, found.files.errs, found.files.wer_summary):
        file.unlink()  # others read this experiment
    assert decode_data(DecodeConfig(BACKBONE, data, no_heads=True, split="dev")).files is None


def test_audio_files_become_text_in_their_order(data, experiment):
    files = tuple(sorted((data.parent / "speech").rglob("fr-test-*.wav"), reverse=True)[:3])
    config = DecodeConfig(BACKBONE, audio=files, heads=(experiment / "heads" / "fr.safetensors",))
    with refused("needs the controller"):
        decode_audio(config)
    found = decode_audio(DecodeConfig(BACKBONE, audio=files, exp_dir=experiment, tasks=("fr",)))
    assert [one.file for one in found.transcripts] == [str(file) for file in files]
    assert [one.found for one in found.transcripts] == found.decoded.utterances
    assert all(
        one.text == " ".join(one.found.hyp) == " ".join(word.text for word in one.words) for one in found.transcripts
    )
    assert found.decoded.audio_seconds > 0


@pytest.fixture(scope="module")
def spoken(data):
    return sorted((data.parent / "speech").rglob("fr-test-*.wav"))


@pytest.fixture
def unreadable(tmp_path, spoken):
    """Files that fail in different ways, by what the message says; the last two open well and fail when read."""
    bad = {
        "no such audio file": tmp_path / "nowhere.wav",
        "this is a folder": tmp_path,
        "not an audio file": tmp_path / "text.wav",
        "cut off": tmp_path / "half.wav",
        "shorter than 0.1 s": tmp_path / "short.wav",
        "not all finite numbers": tmp_path / "nan.wav",
        "lost sync": tmp_path / "half.flac",
    }
    bad["not an audio file"].write_text("hello")
    shutil.copy(spoken[0], bad["cut off"])
    os.truncate(bad["cut off"], spoken[0].stat().st_size // 2)
    soundfile.write(bad["shorter than 0.1 s"], np.zeros(800), 16000)
    soundfile.write(bad["not all finite numbers"], np.full(16000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(bad["lost sync"], soundfile.read(spoken[0])[0], 16000)
    os.truncate(bad["lost sync"], bad["lost sync"].stat().st_size // 2)
    return bad


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_cannot_be_read_costs_no_other_its_text(spoken, unreadable, num_workers):
    good = spoken[:4]
    alone = decode_audio(DecodeConfig(BACKBONE, audio=tuple(good), no_heads=True))
    bad = list(unreadable.values())
    mixed = [bad[0], good[0], *bad[1:4], good[1], *bad[4:6], good[2], bad[6], good[3], good[0]]
    heard = []
    found = decode_audio(
        DecodeConfig(BACKBONE, audio=tuple(mixed), no_heads=True, max_duration=4.0, num_workers=num_workers),
        heard=lambda one, _: heard.append(one.file),
    )
    assert heard == [str(file) for file in [*good, good[0]]]
    assert [(one.file, one.text) for one in found.transcripts] == [(one.file, one.text) for one in alone.transcripts]
    assert found.decoded.audio_seconds == pytest.approx(alone.decoded.audio_seconds)
    assert [one.id for one in found.unreadable] == [str(file) for file in bad]
    for one, (message, file) in zip(found.unreadable, unreadable.items()):
        assert str(file) in one.detail
        assert message in one.detail
    assert found.files == len(set(mixed))


def test_texts_are_told_batch_by_batch(spoken):
    """So that a long list begins to appear at once."""
    done_when_heard, progress = [], Steps()
    config = DecodeConfig(BACKBONE, audio=tuple(spoken), no_heads=True, max_duration=0.1)
    found = decode_audio(config, progress, lambda one, _: done_when_heard.append(progress.done))
    lengths = [soundfile.info(file).duration for file in spoken]
    assert done_when_heard == pytest.approx([sum(lengths[: n + 1]) for n in range(len(spoken))], abs=0.01 * len(spoken))
    assert progress.total == pytest.approx(found.decoded.audio_seconds)


class Steps(Progress):
    """Counts the seconds of audio that are done."""

    def __init__(self):
        super().__init__(disable=True)
        self.done = self.total = 0.0

    def add_task(self, *arguments, total, **options):
        self.total += total
        return super().add_task(*arguments, total=total, **options)

    def advance(self, task, advance=1):
        self.done += advance


def test_hra_prints_the_texts_that_are_there_and_names_the_rest(spoken, unreadable):
    good, bad = spoken[:2], list(unreadable.values())
    texts = hra("decode", *good, "--backbone", BACKBONE, "--no-heads").stdout
    command = ["decode", good[0], *bad, good[1], "--backbone", BACKBONE, "--no-heads"]
    done = hra(*command, check=False)
    assert done.returncode == 2
    assert done.stdout == texts
    assert done.stderr.count("Traceback") == 0
    assert done.stderr.splitlines()[-1] == "hra: error: 7 of 9 audio files cannot be read; they are named above"
    for message, file in unreadable.items():
        assert [line for line in done.stderr.splitlines() if line.startswith(f"{file}: ") and message in line]
    lines = hra(*command, "--format", "json", check=False).stdout.splitlines()
    found = {one["file"]: one for one in map(json.loads, lines)}
    assert found[str(good[0])]["text"] in texts
    assert set(found) == set(map(str, [*good, *bad]))
    assert "cut off" in found[str(unreadable["cut off"])]["error"]


def test_the_table_is_shown_before_files_cannot_be_written(data, tmp_path, capfd):
    blocked = tmp_path / "results"
    (blocked / "recogs-dev-greedy_search-no-heads.txt").mkdir(parents=True)
    json_file = tmp_path / "wer.json"
    with pytest.raises(SystemExit) as stopped:
        main([
            "decode", "--backbone", str(BACKBONE), "--data", str(data), "--no-heads", "--split", "dev",
            "--output-dir", str(blocked), "--json", str(json_file),
        ])  # fmt: skip
    shown, error = capfd.readouterr()
    assert stopped.value.code == 2
    assert "total" in shown
    assert "real-time factor" in shown
    assert str(blocked / "recogs-dev-greedy_search-no-heads.txt") in error.splitlines()[-1]
    assert json.loads(json_file.read_text())["total"]["words"] > 0
    assert [file.name for file in blocked.iterdir()] == ["recogs-dev-greedy_search-no-heads.txt"]


def test_results_are_written_where_the_table_cannot_be(data, tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [
                sys.executable, "-m", "hra_cli", "decode", "--backbone", str(BACKBONE), "--data", str(data),
                "--no-heads", "--split", "dev", "--output-dir", str(tmp_path / "results"),
            ],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "hra: error: cannot write to standard output: No space left on device"
    assert len(list((tmp_path / "results").iterdir())) == 3


def test_a_json_file_that_cannot_be_written_is_refused_before_the_work(data, tmp_path, capfd):
    with pytest.raises(SystemExit) as stopped:
        main([
            "decode", "--backbone", str(BACKBONE), "--data", str(data), "--no-heads", "--split", "dev",
            "--output-dir", str(tmp_path / "results"), "--json", str(tmp_path),
        ])  # fmt: skip
    assert stopped.value.code == 2
    assert f"{tmp_path} is a folder; give the name of a file" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_second_decoding_into_the_same_folder_is_refused_at_once(data, tmp_path):
    config = DecodeConfig(BACKBONE, data, no_heads=True, split="dev", output_dir=tmp_path / "results")
    code = "import sys, time, pathlib; from hra_cli.io.lock import one_writer\n"
    code += "with one_writer(pathlib.Path(sys.argv[1])): print('here', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "results"], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"here\n"
        with refused(f"process {other.pid} .*is writing", tmp_path / "results"):
            decode_data(config, scored=lambda found: pytest.fail("it was decoded"))
    finally:
        other.kill()
        other.wait()
    assert decode_data(config).files.recogs.is_file()


def test_a_mistake_leaves_no_output_folder(data, tmp_path):
    config = DecodeConfig(BACKBONE, data, split="dev", heads_dir=tmp_path / "none", output_dir=tmp_path / "a" / "b")
    with refused("none"):
        decode_data(config)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_task_is_refused_without_heads_too(data):
    with refused("no task 'nobody'"):
        decode_data(DecodeConfig(BACKBONE, data, no_heads=True, tasks=("nobody",)))


def test_a_task_without_the_split_is_named_and_left_out(data, tmp_path):
    lacking = shutil.copytree(data, tmp_path / "data")
    change_tasks(lacking, lambda content: content["tasks"]["de"].pop("dev"))
    cuts = list(load_tasks(lacking).cuts("fr", "dev"))
    cuts[0].supervisions[0].text = cuts[0].supervisions[0].text.lower()
    write_split(lacking, "fr", "dev", cuts)
    notes = []
    found = decode_data(DecodeConfig(BACKBONE, lacking, no_heads=True, split="dev"), notes.append)
    assert notes == [
        "without a dev split, not decoded: de",
        "the tokenizer is upper case, 25 % of the transcripts have lower-case letters: prepare with --text-case upper; "
        "until then their words count as errors",
    ]
    assert list(found.scores.tasks) == ["fr"]


CHUNKS = {"backbone_options": BackboneOptions(chunk_size=32, left_context_frames=128)}
BY_TABLE = {"audio": ("a.wav",), "audio_options": AudioOptions(tasks_from="tasks.tsv")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_heads": True}, "give audio files, --data or --microphone, one of them"),
        (
            {"no_heads": True, "data": "data", "audio": ("a.wav",)},
            "give audio files, --data or --microphone, one of them",
        ),
        ({"data": "data"}, "--no-heads"),
        ({"data": "data", "heads_dir": "heads", "no_heads": True}, "--heads or --no-heads, not both"),
        ({"data": "data", "heads": ("a.safetensors",), "no_heads": True}, "--head or --no-heads, not both"),
        ({"audio": ("a.wav",), "exp_dir": "exp", "tasks": ("a", "b")}, "give one --task"),
        ({"audio": ("a.wav",), "no_heads": True, "tasks": ("nobody",)}, "--task chooses a head, and has no effect"),
        ({"microphone": True, "no_heads": True, **CHUNKS, "output_dir": "out"}, "--output-dir has no effect on --micr"),
        ({**BY_TABLE, "exp_dir": "exp", "tasks": ("a",)}, "--tasks-from says which head each file .* --task too"),
        ({**BY_TABLE, "no_heads": True}, "--tasks-from says which head each file .* --no-heads too"),
        (
            {"audio": ("a.wav",), "no_heads": True, "audio_options": AudioOptions("each", "none", "srt")},
            "--format srt of each channel needs --output-dir",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with refused(message):
        DecodeConfig(BACKBONE, **options)
