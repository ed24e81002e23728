"""Encoding a batch in which every utterance has its own head, against one head for all, and against a batch per task.

The same utterances, sorted by length into batches of `max_duration` as `hra decode` makes them; all heads are resident.
Searches do not depend on the heads and are left out, which makes the heads' share look larger than it is in decoding.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

import torch
from models import MODELS, model, trained
from pairs import add_device, machine, timed_pairs, with_spread
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.backbone.model import Backbone
from hra_cli.io.files import write_text
from hra_cli.nn.device import to_device
from hra_cli.nn.memory import keep_freed_memory

HEADS = (8, 64, 1024)
Batch = tuple[Tensor, Tensor, list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="3 M")
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after two to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--utterances", type=int, default=192)
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    backbone = model(arguments.model, arguments.device)
    seconds = sorted((1.0 + 5.0 * torch.rand(arguments.utterances)).tolist(), reverse=True)
    table = Table(title=f"{arguments.utterances} utterances of 1 – 6 s: how many times as long as one head for all")
    for column in ("heads", "one head ms", "every utterance its own", "a batch per task"):
        table.add_column(column, justify="right")
    found = []
    for heads in track(HEADS, description="heads"):
        tasks = [f"task-{n}" for n in range(heads)]
        adapter = trained(new_adapter(tasks, backbone.width)).to(backbone.device)
        own = [tasks[n % heads] for n in torch.randperm(arguments.utterances).tolist()]
        one = encoding(backbone, adapter, batches(seconds, [tasks[0]] * arguments.utterances))
        mixed = timed_pairs(one, encoding(backbone, adapter, batches(seconds, own)), arguments.pairs)
        by_task = [
            batch
            for task in dict.fromkeys(own)
            for batch in batches(*zip(*[(s, t) for s, t in zip(seconds, own) if t == task]))
        ]
        apart = timed_pairs(one, encoding(backbone, adapter, by_task), max(3, arguments.pairs // 2), warm_up=1)
        found.append({"heads": heads, "mixed": mixed.as_json(), "a batch per task": apart.as_json()})
        table.add_row(
            f"{heads:,}", with_spread(mixed.a, 1000, 0), with_spread(mixed.ratios, digits=3), with_spread(apart.ratios)
        )
    Console().print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "heads": found}, indent=2) + "\n")


def batches(seconds: list[float], tasks: list[str], max_duration: float = 100.0) -> list[Batch]:
    """Features, lengths and tasks, longest first, up to max_duration seconds a batch with padding."""
    made: list[Batch] = []
    begin = 0
    while begin < len(seconds):
        size = max(1, int(max_duration / seconds[begin]))
        lens = torch.tensor([int(100 * s) for s in seconds[begin : begin + size]])
        made.append((torch.randn(len(lens), int(lens[0]), 80), lens, list(tasks[begin : begin + size])))
        begin += size
    return made


def encoding(backbone: Backbone, adapter: Adapter, made: list[Batch]) -> Callable[[], None]:
    @torch.no_grad()
    def encode() -> None:
        for features, lens, tasks in made:
            backbone.encode(to_device(features, backbone.device), lens, adapter.for_tasks(tasks))

    return encode


if __name__ == "__main__":
    main()
