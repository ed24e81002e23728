"""Tasks without a head are served by the head that --unknown-tasks names, and by none where it is not given."""

import shutil

import pytest
from builders import BACKBONE as FINGERPRINT
from builders import TOKENIZER, heads_of, random_adapter, refused
from lhotse import CutSet
from lhotse.utils import fastcopy
from speech import BACKBONE, hra

from hra_cli.adapter.head_file import write_head
from hra_cli.adapter.head_folder import HeadFolder
from hra_cli.adapter.heads_on_disk import serve_heads
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.folder import export_head
from hra_cli.recognition.audio_options import AudioOptions
from hra_cli.recognition.decode import decode_data
from hra_cli.recognition.decode_audio import decode_audio
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser


@pytest.fixture(scope="module")
def without_fr(experiment, tmp_path_factory):
    """An experiment that has a head for de, and none for fr."""
    exp_dir = shutil.copytree(experiment, tmp_path_factory.mktemp("unknown") / "exp")
    (exp_dir / "heads" / "fr.safetensors").unlink()
    return exp_dir


@pytest.fixture(scope="module")
def expected(data, experiment):
    """What each utterance of dev is, of de with its own head and of fr with the common one."""
    index, texts = load_tasks(data), {}
    for task, head in (("de", "de"), ("fr", "common")):
        cuts = CutSet.from_cuts(fastcopy(cut, custom={**cut.custom, "task": head}) for cut in index.cuts(task, "dev"))
        recogniser = load_recogniser(BACKBONE, exp_dir=experiment, tasks=[head])
        texts.update({one.id: one.text for batch in recogniser.decode(cuts) for one in batch})
    return texts


def test_data_whose_task_has_no_head(data, without_fr, expected, tmp_path):
    config = {"split": "dev", "output_dir": tmp_path}
    with refused("no head for task 'fr' in .*heads; "):
        decode_data(DecodeConfig(BACKBONE, data, exp_dir=without_fr, **config))
    said = []
    found = decode_data(DecodeConfig(BACKBONE, data, exp_dir=without_fr, unknown_tasks="common", **config), said.append)
    assert said == ["without a head, decoded with the head 'common': fr (4 utterances)"]
    assert {one.id: one.text for one in found.decoded.utterances} == expected
    assert set(found.scores.tasks) == {"de", "fr"}, "each is scored as its own task"


def test_where_every_task_has_a_head_nothing_changes(data, experiment, tmp_path):
    said, texts = [], []
    for unknown in (None, "common"):
        config = DecodeConfig(
            BACKBONE, data, split="dev", exp_dir=experiment, output_dir=tmp_path, unknown_tasks=unknown
        )
        found = decode_data(config, said.append)
        texts.append({one.id: one.text for one in found.decoded.utterances})
    assert texts[0] == texts[1]
    assert said == []


def test_head_files_and_any_heads_name(data, experiment, tmp_path):
    export_head(experiment, "de", tmp_path / "de.safetensors")
    heads = (tmp_path / "de.safetensors",)
    said = []
    config = DecodeConfig(BACKBONE, data, split="dev", tasks=("fr",), heads=heads, unknown_tasks="de")
    decode_data(config, said.append)
    assert said == ["without a head, decoded with the head 'de': fr (4 utterances)"]


def test_audio_of_a_task_without_a_head_by_name_and_by_table(data, without_fr, expected, tmp_path):
    files = sorted((data.parent / "speech").rglob("fr-dev-*.wav"))[:2]
    said = []
    config = DecodeConfig(BACKBONE, audio=tuple(files), exp_dir=without_fr, tasks=("bob",), unknown_tasks="common")
    by_name = decode_audio(config, note=said.append)
    assert [one.text for one in by_name.transcripts] == [expected[file.stem] for file in files]
    table = tmp_path / "tasks.csv"
    rows = [f"{file},{task}\n" for file, task in zip(files, ("bob", "eve"))]
    other = next((data.parent / "speech").rglob("de-dev-*.wav"))
    table.write_text("file,task\n" + "".join(rows) + f"{other},de\n")
    audio_options = AudioOptions(tasks_from=table)
    config = DecodeConfig(BACKBONE, exp_dir=without_fr, unknown_tasks="common", audio_options=audio_options)
    by_table = decode_audio(config, note=said.append)
    assert [one.text for one in by_table.transcripts] == [expected[one.stem] for one in (*files, other)]
    assert said == [
        "without a head, decoded with the head 'common': bob (2 recordings)",
        "without a head, decoded with the head 'common': bob (1 recordings), eve (1 recordings)",
    ]


def test_a_head_that_is_not_there(data, without_fr, tmp_path):
    (without_fr / "heads" / "common.safetensors").rename(tmp_path / "common.safetensors")
    try:
        with refused(r"--unknown-tasks: no head 'common' in .*heads; known: de; .* --common-head$"):
            load_recogniser(BACKBONE, exp_dir=without_fr, tasks=["de"], unknown_tasks="common")
        with refused(r"--unknown-tasks: no head 'dee' in .*heads; did you mean 'de'\?$"):
            load_recogniser(BACKBONE, exp_dir=without_fr, unknown_tasks="dee")
    finally:
        shutil.move(tmp_path / "common.safetensors", without_fr / "heads")
    with refused("--unknown-tasks has no effect with --no-heads"):
        DecodeConfig(BACKBONE, data, no_heads=True, unknown_tasks="common")


def test_unknown_tasks_take_the_room_of_one_head(tmp_path):
    for head in heads_of(random_adapter(["ann", "common"], 40)):
        write_head(tmp_path / f"{head.task}.safetensors", head)
    lazy = serve_heads(HeadFolder(tmp_path), FINGERPRINT, 40, TOKENIZER, max_heads=1)
    lazy.for_unknown_tasks = "common"
    lazy.check(["bob", "eve", "common"])
    assert lazy.rows(["bob", "eve"]) == lazy.rows(["common", "common"])
    with refused("a batch has 2 different tasks, and --max-heads is 1"):
        lazy.check(["bob", "ann"])


def test_the_command_says_it_once(data, without_fr, tmp_path):
    done = hra(
        "decode", "--backbone", BACKBONE, "--data", data, "--split", "dev", "--exp-dir", without_fr, "--output-dir",
        tmp_path, "--unknown-tasks", "common",
    )  # fmt: skip
    assert done.stderr.count("without a head, decoded with the head 'common': fr (4 utterances)\n") == 1
