"""The whole recipe, on a corner of the corpus and for one epoch: that its stages fit together."""

import json
import os
import subprocess
import sys
from pathlib import Path

from searches import HAVE_K2

RECIPE = Path(__file__).parents[2] / "recipes" / "fsdd"
MORE_SEARCHES = "modified_beam_search fast_beam_search" if HAVE_K2 else "modified_beam_search"


def run(*options):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [str(RECIPE / "run.sh"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_every_stage_leaves_what_the_next_one_needs(shared, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for wav in (shared / "data" / "fsdd" / "recordings").glob("[0-3]_*_?.wav"):
        (corpus / wav.name).symlink_to(wav)
    for wav in (shared / "data" / "fsdd" / "recordings").glob("[0-3]_*_1[0-4].wav"):
        (corpus / wav.name).symlink_to(wav)
    conf = tmp_path / "train.conf"
    conf.write_text("--max-duration 15 --num-epochs 1 --rnnt-type modified\n")
    compare_conf = tmp_path / "compare.conf"
    compare_conf.write_text("--max-duration 30 --num-epochs 1 --rnnt-type modified --lrs 0.004\n")
    options = [
        "--corpus", corpus, "--backbone", shared / "models" / "zipformer-tts-en", "--data", tmp_path / "data",
        "--exp", tmp_path / "exp", "--train-conf", conf, "--onboard-conf", conf, "--held-out", "nicolas",
        "--compare-conf", compare_conf, "--compare-20-conf", compare_conf, "--methods", "hra-linear:8",
        "--ablations", "hra-no-recurrence:8", "--sizes", "lora:1", "--same-time", "hra-linear:8",
        "--single-digits-conf", compare_conf, "--same-time-conf", compare_conf,
        "--results", tmp_path / "RESULTS.md", "--more-searches", MORE_SEARCHES,
    ]  # fmt: skip
    for stages in (["0", "5", "1 2"], ["6", "13", "1"], ["14", "14", "1 2"]):
        first, last, seeds = stages
        done = run(*options, "--stage", first, "--stop-stage", last, "--seeds", seeds)
        assert done.returncode == 0, done.stderr
    frozen = json.loads((tmp_path / "exp" / "frozen" / "wer.json").read_text())
    assert frozen["total"]["words"] == 4 * 4 * 5
    onboarded = json.loads((tmp_path / "exp" / "onboard-nicolas" / "wer.json").read_text())
    assert list(onboarded["tasks"]) == ["nicolas"]
    exported = json.loads((tmp_path / "exp" / "exported" / "wer.json").read_text())
    assert (exported["total"], exported["tasks"]) == (onboarded["total"], onboarded["tasks"])
    results = (tmp_path / "RESULTS.md").read_text()
    assert "| frozen, greedy_search |" in results
    for search in ("greedy_search", *MORE_SEARCHES.split()):
        assert f"joint heads, {search}, seed 2" in results
    assert results.count("| HRA linear, H=8 | multi | 1 | 0.004 |") == 5
    assert results.count("| LoRA, r=1 | multi | 1 | 0.004 |") == 1
    assert results.count("| HRA linear, u=0, H=8 | multi | 1 | 0.004 |") == 1
    for line in results.splitlines():
        if line.startswith("| nicolas onboarded"):
            assert f"{onboarded['tasks']['nicolas']['wer']:.1f}" in line


def test_a_mistake_on_the_command_line_is_one_line():
    done = run("--stages", "3")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--stages" in done.stderr
