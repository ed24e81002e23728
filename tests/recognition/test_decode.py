"""What `hra decode` does, from Python."""

import json
import shutil

import pytest
from builders import refused
from data_folders import change_tasks, write_split
from speech import BACKBONE, TASKS, hra

from hra_cli.data.task_index import load_tasks
from hra_cli.recognition.decode import decode_audio, decode_data
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
    assert list(found.files) == [str(file) for file in files]
    assert {one.id: one for one in found.decoded.utterances} == found.files
    assert {file: one["text"] for file, one in found.as_json().items()} == {
        one.id: " ".join(one.hyp) for one in found.decoded.utterances
    }
    assert found.decoded.audio_seconds > 0


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
        "the tokenizer is upper case, 25 % of the transcripts have lower-case letters: write them in upper case before "
        "preparing; until then their words count as errors",
    ]
    assert list(found.scores.tasks) == ["fr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_heads": True}, "give audio files or --data, one of them"),
        ({"no_heads": True, "data": "data", "audio": ("a.wav",)}, "give audio files or --data, one of them"),
        ({"data": "data"}, "--no-heads"),
        ({"data": "data", "heads_dir": "heads", "no_heads": True}, "--heads or --no-heads, not both"),
        ({"data": "data", "heads": ("a.safetensors",), "no_heads": True}, "--head or --no-heads, not both"),
        ({"audio": ("a.wav",), "exp_dir": "exp", "tasks": ("a", "b")}, "give one --task"),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with refused(message):
        DecodeConfig(BACKBONE, **options)
