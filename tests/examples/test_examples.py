"""The scripts in examples/, run as a reader would run them, on the speech that speech.py makes."""

import re
import runpy
import sys

import pytest
from lhotse import CutSet
from speech import BACKBONE, ROOT, TASKS

from hra_cli.adapter.head_file import read_head
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.folder import export_head
from hra_cli.recognition.load import load_recogniser
from hra_cli.scoring.wer import score


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script of examples/ in this process, whose imports are there already; returns what it prints."""

    def run_script(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.fixture(scope="module")
def heads(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    for task in TASKS:
        export_head(experiment, task, folder / f"{task}.safetensors")
    return [folder / f"{task}.safetensors" for task in TASKS]


def decoded(printed):
    """Words by utterance, from the lines that have an utterance."""
    return dict(line.split("\t") for line in printed.splitlines() if "\t" in line)


def test_a_speaker_is_adapted_to_and_the_head_works_alone(run, data, tmp_path):
    printed = run("adapt_a_speaker.py", BACKBONE, data, "fr", "--num-epochs", 6, "--exp-dir", tmp_path / "exp")
    before, after = re.search(r"fr: WER on dev ([\d.]+) % frozen, ([\d.]+) % with the head", printed).groups()
    file = tmp_path / "exp" / "fr.safetensors"
    head = read_head(file)
    assert (head.scores["wer_before"], head.scores["wer_after"]) == (float(before), float(after))
    assert f"{head.num_parameters:,} parameters" in printed

    # dev has four utterances, too few to show what was learned
    cuts = load_tasks(data).cuts("fr", "test")
    frozen = score(one for batch in load_recogniser(BACKBONE).decode(CutSet.from_cuts(cuts)) for one in batch)
    adapted = run("decode_a_mixed_batch.py", BACKBONE, data, file)
    assert "a batch of 6 × fr" in adapted
    assert float(re.search(r"fr: WER on test ([\d.]+) %", adapted)[1]) < 0.9 * frozen.total.wer


def test_a_mixed_batch_gives_each_utterance_what_its_own_head_gives_alone(run, data, heads):
    printed = run("decode_a_mixed_batch.py", BACKBONE, data, *heads)
    assert "a batch of 6 × de, 6 × fr" in printed
    mixed = decoded(printed)
    alone = {}
    for head in heads:
        alone.update(decoded(run("decode_a_mixed_batch.py", BACKBONE, data, head)))
    assert len(mixed) == 12
    assert mixed == alone
