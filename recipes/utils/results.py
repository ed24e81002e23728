#!/usr/bin/env python3
"""Writes the tables of a run, RESULTS.md, from the files that its stages have left below EXP.

Every figure is read from those files. What has not been measured yet is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from importlib.metadata import version
from pathlib import Path

import yaml
from safetensors import safe_open

from hra_cli import __version__
from hra_cli.adapter.head_file import read_head
from hra_cli.io.files import write_text
from hra_cli.io.markdown import markdown_table
from hra_cli.scoring.wer import wer_text

SETTINGS = ("head", "hidden", "num_epochs", "max_duration", "lr", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", type=Path)
    parser.add_argument("decodings", nargs="*", help="folders below EXP with a wer.json, as patterns, in this order")
    parser.add_argument("--title", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    exp = arguments.exp
    folders = [file.parent for one in arguments.decodings for file in sorted(exp.glob(f"{one}/wer.json"))]
    tables = wer_tables(exp, folders)
    tables += trainings_table(exp)
    for file in sorted(exp.glob("compare*/comparison.json")):
        tables += comparison(exp, file.parent)
    for file in sorted(exp.glob("*/table.md")):  # a recipe's own
        tables += [f"## {name(exp, file.parent)}", "", *file.read_text().splitlines(), ""]
    if tables:
        threads = os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        head = [
            f"# {arguments.title}",
            "",
            f"{commands(exp)}; hra {__version__}, torch {version('torch')}, Python {platform.python_version()}, "
            f"{threads} CPU threads.",
            "",
        ]
        write_text(arguments.output, "\n".join(head + tables))
        print(f"tables: {arguments.output.resolve()}")


def commands(exp: Path) -> str:
    """What was run into EXP, in order, as stages.sh has noted it."""
    lines = (exp / "log" / "commands").read_text(encoding="utf-8").splitlines()
    return ", then ".join(f"`{line}`" for line in dict.fromkeys(lines))


def wer_tables(exp: Path, folders: list[Path]) -> list[str]:
    """A row per decoding, a column per task; the last column is empty where a decoding has not all tasks.

    Decodings that share no task, of data of their own, have a table of their own.
    """
    scores = {name(exp, folder): json.loads((folder / "wer.json").read_text()) for folder in folders}
    groups: list[dict[str, dict]] = []
    for decoding, found in scores.items():
        near = [group for group in groups if any(found["tasks"].keys() & one["tasks"].keys() for one in group.values())]
        groups = [group for group in groups if group not in near]
        groups.append({**{key: one for group in near for key, one in group.items()}, decoding: found})
    lines = [line for group in groups for line in wer_table(group)]
    return ["## WER in per cent", "", *lines] if lines else []


def wer_table(scores: dict[str, dict]) -> list[str]:
    """scores: what wer.json says, by decoding."""
    words = {task: counts["words"] for found in scores.values() for task, counts in found["tasks"].items()}
    tasks = sorted(words)
    rows = [["words", *(f"{words[task]:,}" for task in tasks), f"{sum(words.values()):,}"]]
    for decoding, found in scores.items():
        wers = [wer_text(found["tasks"][task]["wer"]) if task in found["tasks"] else "" for task in tasks]
        rows.append([decoding, *wers, wer_text(found["total"]["wer"]) if len(found["tasks"]) == len(tasks) else ""])
    return [*markdown_table(["", *tasks, "all"], rows), ""]


def trainings_table(exp: Path) -> list[str]:
    """A row per `hra train`: what was trained, and how many parameters it has."""
    rows = []
    for file in sorted(exp.glob("*/config.yaml")):
        folder = file.parent
        # Without the one for tasks that have none.
        heads = [one for one in sorted(folder.glob("heads/*.safetensors")) if not read_head(one).is_common]
        if heads:
            settings = yaml.safe_load(file.read_text())
            sizes = [f"{parameters(one):,}" for one in (heads[0], folder / "controller.safetensors")]
            rows.append([name(exp, folder), str(len(heads)), *sizes, *(str(settings[one]) for one in SETTINGS)])
    header = ["", "heads", "parameters of a head", "of the controller", *(one.replace("_", " ") for one in SETTINGS)]
    return ["## Training", "", *markdown_table(header, rows), ""] if rows else []


def parameters(file: Path) -> int:
    """How many parameters a safetensors file holds; of an experiment's files each holds a head or the controller."""
    with safe_open(str(file), "numpy") as tensors:
        return sum(math.prod(tensors.get_slice(one).get_shape()) for one in tensors.keys())  # noqa: SIM118


def comparison(exp: Path, folder: Path) -> list[str]:
    """The tables that `hra compare` has written, with its command."""
    found = json.loads((folder / "comparison.json").read_text())
    machine = ", ".join(f"{what} {value}" for what, value in found["machine"].items())
    written = (folder / "comparison.md").read_text().splitlines()
    return [f"## {name(exp, folder)}", "", f"`{found['command']}`; {machine}.", "", *written, ""]


def name(exp: Path, folder: Path) -> str:
    return folder.relative_to(exp).as_posix()


if __name__ == "__main__":
    main()
