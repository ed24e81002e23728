import json
import re
import shutil
import sys
from html.parser import HTMLParser
from subprocess import run
from xml.etree import ElementTree

import pytest
from builders import refused
from speech import TASKS, hra

from hra_cli.baselines.methods import kinds
from hra_cli.errors import HraError
from hra_cli.report.comparison_content import family_of
from hra_cli.report.content import ABLATION, BASELINE, HRA
from hra_cli.report.facts import describe
from hra_cli.report.write import write_report
from hra_cli.scoring.results import write_results
from hra_cli.scoring.wer import Utterance

UTTERANCES = [
    Utterance("fr-1", "fr", ["TURN", "THE", "LIGHT", "ON"], ["TURN", "A", "LIGHT", "ON", "<NOW>"]),
    Utterance("de-1", "de", ["ONE", "TWO", "THREE"], ["ONE", "THREE"]),
    Utterance("de-2", "de", ["SIX"], ["SIX"]),
]
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and notes ids, section names, links and texts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.sections, self.elements, self.targets = [], [], [], set(), []
        self.texts = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.add(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "section":
            self.sections.append(attributes["id"])
        self.targets += [
            attributes[name] for name in ("src", "href", "xlink:href", "data", "action") if name in attributes
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def check(html):
    """What holds for every report; returns the page."""
    page = Page(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">')
    assert "script" not in page.elements
    assert not page.elements & {"link", "img", "iframe", "object", "embed"}
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert len(page.ids) == len(set(page.ids))
    assert all(target.startswith("#") and target[1:] in page.ids for target in page.targets)
    assert "prefers-color-scheme: dark" in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert not re.search(r"(fill|stroke): #", svg), "colours come from the page, light or dark"
    return page


def report(exp_dir, tmp_path):
    return write_report(exp_dir, tmp_path / "report.html").read_text("utf-8")


@pytest.fixture
def decoded(experiment, tmp_path):
    """The experiment with results on the test set, as `hra decode` leaves them."""
    exp_dir = shutil.copytree(experiment, tmp_path / "decoded")
    write_results(exp_dir / "greedy_search", "test", "greedy_search", UTTERANCES)
    write_results(exp_dir / "greedy_search", "test", "greedy_search-no-heads", UTTERANCES)
    return exp_dir


def counts(errors, words):
    return {"wer": 100.0 * errors / words, "errors": errors, "words": words}


def over_seeds(cells):
    """As `hra compare` writes it, with differences by hand."""
    records, modes = [], set()
    for label, mode in dict.fromkeys((cell["label"], cell["mode"]) for cell in cells):
        record = {
            "label": label, "mode": mode, "seeds": 2, "parameters_per_task": 100, "wer": 5.5, "lowest": 5.0,
            "highest": 6.0, "dev_wer": 7.0,
        }  # fmt: skip
        records.append({**record, "difference": 0.75, "low": -0.25, "high": 1.75} if mode in modes else record)
        modes.add(mode)
    return records


def make_comparison(folder, methods=("hra-linear", "lora", "hra-no-recurrence"), seeds=(1, 2)):
    """A comparison of two tasks with results by hand; lora is multi-task and single-task."""
    cells = []
    for method in methods:
        for mode in ("multi", "single") if method == "lora" else ("multi",):
            for seed in seeds:
                name = f"cells/{method}-{mode}-seed{seed}"
                errors = len(method) + seed
                cells.append(
                    {
                        "method": method, "label": f"{method}, $H$=<64>", "size": 64, "mode": mode, "seed": seed,
                        "lr": 0.004, "lrs": [{"lr": 0.002, "dev_errors": 5, "dev_loss": 12.3}],
                        "parameters_per_task": 100, "parameters_shared": 60, "parameters_in_all": 260,
                        "trainable": 260, **counts(2 * errors, 200), "low": 1.0, "high": 20.0,
                        "tasks": {task: counts(errors, 100) for task in TASKS}, "dev": counts(errors, 100),
                        "seconds": 1.5, "steps": 20, "epochs": 2, "peak_memory_mib": None, "folder": name,
                    }
                )  # fmt: skip
                if mode == "multi":
                    records = [
                        {"kind": "dev", "step": 0, "epoch": 0, "wer_total": 30.0, "wer": {}, "loss": {}},
                        {
                            "kind": "train",
                            "step": 10,
                            "epoch": 1,
                            "loss": 0.5,
                            "simple_loss": 0.4,
                            "pruned_loss": 0.3,
                            "gradient_norm": 1.0,
                            "lr": 0.004,
                        },
                        {"kind": "dev", "step": 10, "epoch": 1, "wer_total": 9.0, "wer": {}, "loss": {}},
                    ]
                    write_results(folder / name, "test", "greedy_search", UTTERANCES)
                    (folder / name / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    content = {
        "format": "hra-comparison", "format_version": 1, "hra_version": "9.9.9", "command": "hra compare --backbone B",
        "config": {"backbone": "B", "data": "data", "seeds": list(seeds)},
        "machine": {"torch": "1.13.1"}, "data": "data", "tasks": list(TASKS),
        "backbone": {"path": "B", "fingerprint": "abc", "parameters": 1000},
        "test": {"utterances": 3, "words": 200, "decoding_method": "greedy_search"},
        "frozen": {**counts(58, 200), "low": 25.1, "high": 33.2, "tasks": {task: counts(29, 100) for task in TASKS}},
        "cells": cells,
        "over_seeds": over_seeds(cells),
        "growth": {"tasks": [1, 10], "methods": {cell["label"]: [160, 1060] for cell in cells}},
    }  # fmt: skip
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "comparison.json").write_text(json.dumps(content))
    return folder


def test_an_experiment_that_is_not_decoded_yet(experiment, tmp_path):
    page = check(report(experiment, tmp_path))
    assert page.sections == ["wer", "growth", "curves", "worst", "confusions", "reproduce"]
    assert page.text.count("The test set is not decoded with the heads yet.") == 3
    assert "hra decode --exp-dir exp --backbone" in page.text
    assert "10,368 parameters and 10,400 for every task" in page.text
    assert "104,010,368" in page.text, "parameters of 10,000 tasks"
    assert "hra train --exp-dir exp --backbone" in page.text
    assert "--rnnt-type modified" in page.text


def test_a_decoded_experiment(decoded, tmp_path):
    page = check(report(decoded, tmp_path))
    assert "not decoded" not in page.text
    assert "all tasks 37.50 37.50 +0.0 de 25.00 25.00 +0.0 fr 50.00 50.00 +0.0" in page.text
    assert "2 of 3 utterances have errors" in page.text
    assert page.text.index("fr-1 2 errors in 4 words") < page.text.index("de-1 1 error in 3 words")
    assert "THE A S" in page.text
    assert "· <NOW> I" in page.text
    assert "TWO · D" in page.text
    assert "1 substituted, of 1 kinds said recognised count THE A 1" in page.text


def test_an_experiment_whose_log_is_gone(decoded, tmp_path):
    (decoded / "metrics.jsonl").unlink()
    assert "metrics.jsonl has no scores" in check(report(decoded, tmp_path)).text


def test_a_comparison(tmp_path):
    page = check(report(make_comparison(tmp_path / "compare"), tmp_path))
    assert page.sections == [
        "wer", "parameters", "differences", "growth", "curves", "worst", "confusions", "cells", "reproduce",
    ]  # fmt: skip
    assert "Mean WER over the seeds less that of hra-linear, $H$=<64>" in page.text
    assert "lora, $H$=<64> 5.50 +0.75 -0.2 to +1.8 2" in page.text
    assert "less that of lora" not in page.text, "single-task there is nothing else"
    assert "all tasks 200 29.00 11.50 18.50 5.50" in page.text, "means over seeds, HRA, its ablations, then the others"
    assert "lora, $H$=<64> one model per task 130 5.50 1.0–20.0 2" in page.text
    assert "hra-linear, $H$=<64>, multi-task, seed 1" in page.text, "the cell with the fewest errors on dev"
    assert "0.002: 5, 12.3" in page.text
    assert "hra compare --backbone B" in page.text
    assert "9.9.9" in page.text


def test_a_comparison_without_the_cells_folders_says_what_would_fill_them(tmp_path):
    exp_dir = make_comparison(tmp_path / "compare")
    shutil.rmtree(exp_dir / "cells")
    page = check(report(exp_dir, tmp_path))
    assert "No metrics.jsonl of a multi-task cell is there." in page.text
    assert "recogs-test-greedy_search.txt is not there." in page.text


def onboarding():
    """As `hra compare` writes it, with results by hand: HRA better than LoRA, which has no score at 20 utterances."""
    rows = []
    for method in ("hra-linear", "lora"):
        for start in ("common", "zero"):
            points = []
            for shots, wer in ((0, 30.0), (5, 20.5), (20, 12.25))[: 2 if method == "lora" else 3]:
                apart = {"difference": 1.5, "difference_low": -0.5, "difference_high": 3.0} if rows else {}
                point = {"shots": shots, "wer": wer, "low": wer - 2, "high": wer + 3, "tasks": {"fr": counts(5, 50)}}
                points.append({**point, **apart})
            rows.append(
                {
                    "method": method, "label": f"{method}, $H$=<64>", "size": 64, "start": start, "seeds": 1,
                    "lr": 0.004, "lrs": [], "parameters_per_task": 100, "parameters_shared": 60, "points": points,
                }
            )  # fmt: skip
    left_out = [{"shots": 20, "tasks": {"de": 7}}]
    return {"folds": [["de"], ["fr"]], "onboard_epochs": 20, "left_out": left_out, "rows": rows}


@pytest.mark.parametrize("alone", [False, True])
def test_onboarding_has_curves_with_intervals(tmp_path, alone):
    file = make_comparison(tmp_path / "compare") / "comparison.json"
    content = {**json.loads(file.read_text()), "onboarding": onboarding()}
    file.write_text(json.dumps({**content, "cells": [], "over_seeds": []} if alone else content))
    assert ["lora, $H$=<64>", "onboard, zero, 5", "", "100", "20.5"] in describe(file.parent).rows
    html = report(file.parent, tmp_path)
    page = check(html)
    assert "onboarding" in page.sections
    if alone:
        assert page.sections == ["onboarding", "growth", "reproduce"]
        assert "would fill it" not in page.text
    section = html[html.index('<section id="onboarding">') :]
    svg = section[: section.index("</svg>")]
    assert all(label in svg for label in ("hra-linear, $H$=&lt;64&gt;", "lora, $H$=&lt;64&gt;", "utterances", "WER %"))
    assert "hra-linear, $H$=<64> common 100 30.0 (28.0–33.0) 20.5 (18.5–23.5) 12.2 (10.2–15.2)" in page.text
    assert "lora, $H$=<64> zero 100 30.0 (28.0–33.0) 20.5 (18.5–23.5) –" in page.text
    assert "Less hra-linear, $H$=<64>, common" in page.text
    assert "lora, $H$=<64> zero 100 +1.5 (-0.5 to +3.0)" in page.text
    assert "2 tasks were held out in 2 groups" in page.text
    assert "Without 1 of the held-out tasks at 20, which have fewer utterances to train on: de (7)." in page.text


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": []}, "onboarding without tasks or results"),
        ({"rows": [{**onboarding()["rows"][0], "points": [{"shots": 5}]}]}, r"rows\.0\.points\.0\."),
        ({"folds": "de"}, r"onboarding\.folds"),
    ],
)
def test_damaged_onboarding_is_one_line(tmp_path, changed, message):
    file = make_comparison(tmp_path / "compare") / "comparison.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "onboarding": {**onboarding(), **changed}}))
    with refused(rf"comparison\.json is damaged: .*{message}"):
        write_report(file.parent, tmp_path / "report.html")


def test_a_comparison_without_hra(tmp_path):
    page = check(report(make_comparison(tmp_path / "compare", methods=["lora"], seeds=[7]), tmp_path))
    assert "No HRA method was trained on all tasks together yet." in page.text


def test_the_command_writes_the_same_bytes_wherever_the_folder_is(decoded, tmp_path):
    moved = shutil.copytree(decoded, tmp_path / "elsewhere" / decoded.name)
    output = tmp_path / "new folder" / "report.html"
    done = hra("report", moved, "--output", output)
    assert done.stdout == f"{output}\n"
    assert done.stderr == ""
    assert output.read_text("utf-8") == report(decoded, tmp_path)


def test_a_comparison_gives_the_same_bytes_each_time(tmp_path):
    first = make_comparison(tmp_path / "one" / "compare", methods=["hra-linear"])
    second = make_comparison(tmp_path / "two" / "compare", methods=["hra-linear"])
    assert report(first, tmp_path) == report(second, tmp_path)


def test_refused(experiment, tmp_path):
    output = tmp_path / "report.html"
    with refused("neither config.yaml nor comparison.json"):
        write_report(tmp_path, output)
    with refused("is a folder; give the name of a file"):
        write_report(experiment, tmp_path)
    (tmp_path / "begun").mkdir()
    shutil.copy(experiment / "config.yaml", tmp_path / "begun")
    with refused("begun has no heads yet"):
        write_report(tmp_path / "begun", output)
    file = make_comparison(tmp_path / "compare") / "comparison.json"
    content = json.loads(file.read_text())
    for changed, message in (
        ({**content, "format": "other"}, "was not written by `hra compare`"),
        ({**content, "format_version": 2}, "has format version 2, this hra reads 1"),
        ({**content, "cells": []}, "has no results yet"),
        ({**content, "cells": [{"method": "lora"}]}, r"comparison.json is damaged: cells\.0\."),
        ([], "comparison.json is damaged"),
    ):
        file.write_text(json.dumps(changed))
        with refused(message):
            write_report(file.parent, output)
    file.write_text("{")
    with refused("comparison.json is damaged"):
        write_report(file.parent, output)
    assert not output.exists()


def test_hra_starts_without_matplotlib():
    code = "import hra_cli.app, sys; sys.exit('matplotlib' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", kinds())
def test_every_method_is_shown_for_what_it_is(name):
    whole, part = name in ("hra-linear", "hra-ffn"), name.startswith("hra-")
    assert family_of(name) == (HRA if whole else ABLATION if part else BASELINE)


def test_info_of_a_damaged_comparison_is_one_line(tmp_path):
    (tmp_path / "comparison.json").write_text("{")
    with pytest.raises(HraError, match=r"comparison\.json is damaged: .*; run `hra compare` again"):
        describe(tmp_path)
