"""How the cost of a training step grows with the length and number of utterances, tasks, and the size of the heads.

Each row changes one of them and is timed in pairs with the step that all have in common.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from models import MODELS, model
from pairs import add_device, machine, timed_pairs, with_spread
from rich.console import Console
from rich.progress import track
from rich.table import Table
from train_step import random_batch, step

from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory

COMMON = {"seconds": 4, "utterances": 4, "tasks": 8, "hidden": 64}
ROWS: dict[str, tuple[int, ...]] = {
    "seconds": (1, 2, 8, 16, 32),
    "utterances": (1, 2, 8, 16, 32),
    "tasks": (1, 64, 1024, 4096),
    "hidden": (16, 128, 256, 512),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="3 M")
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument("--threads", type=int, default=2)
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    common = ", ".join(f"{name} {value}" for name, value in COMMON.items())
    table = Table(title=f"a step of HRA, {arguments.model}: how many times as long as with {common}")
    for column in ("what", "", "common ms", "ms", "times as long"):
        table.add_column(column, justify="right")
    found = []
    for name, value in track([(name, value) for name, values in ROWS.items() for value in values]):
        common_step, changed_step = (made(arguments.model, arguments.device, **sizes) for sizes in ({}, {name: value}))
        pairs = timed_pairs(common_step, changed_step, arguments.pairs, warm_up=1)
        found.append({"what": name, "value": value, **pairs.as_json()})
        times = with_spread(pairs.a, 1000, 0), with_spread(pairs.b, 1000, 0), with_spread(pairs.ratios)
        table.add_row(name, f"{value:,}", *times)
    Console(width=120).print(table)
    if arguments.output:
        content = {"machine": machine(), "model": arguments.model, "common": COMMON, "steps": found}
        write_text(arguments.output, json.dumps(content, indent=2) + "\n")


def made(name: str, device: torch.device, **changed: int) -> Any:
    """A step of the common sizes but for `changed`."""
    sizes = {**COMMON, **changed}
    tasks = [f"task-{n}" for n in range(sizes["tasks"])]
    data = random_batch(sizes["utterances"], 100 * sizes["seconds"], device)
    return step(f"hra-linear:{sizes['hidden']}", model(name, device), data, tasks)


if __name__ == "__main__":
    main()
