"""One training step: HRA heads against full fine-tuning of the same recogniser, as a ratio in the same run.

Both run this project's encoder, loss and AdamW on the same batches; they differ in what moves. Run: make bench
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Callable

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from hra_cli.adapter import new_adapter
from hra_cli.backbone import Backbone, load_backbone
from hra_cli.files import write_text
from hra_cli.memory import keep_freed_memory
from hra_cli.transducer.loss import pruned_loss

BACKBONE = Path(__file__).parents[1] / "recipes" / "accents" / "backbone"
TASKS = [f"task-{n}" for n in range(8)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, default=BACKBONE)
    parser.add_argument("--pairs", type=int, default=9, help="measured pairs of steps, after two to warm up")
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each utterance")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.manual_seed(0)
    frames = int(arguments.seconds * 100)
    features = torch.randn(arguments.utterances, frames, 80)
    lens = torch.full((arguments.utterances,), frames)
    tokens = [[3 + n % 50] * max(1, frames // 40) for n in range(arguments.utterances)]
    steps = {
        "HRA, linear heads, H = 64": hra_step(load_backbone(arguments.backbone), features, lens, tokens),
        "full fine-tuning": full_step(load_backbone(arguments.backbone), features, lens, tokens),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for pair in track(range(-2, arguments.pairs), description="steps"):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            if pair >= 0:
                seconds[name].append(time.perf_counter() - begun)
    hra, full = seconds.values()
    ratios = sorted(b / a for a, b in zip(hra, full))

    table = Table(
        title=f"{arguments.utterances} utterances of {arguments.seconds} s, {torch.get_num_threads()} threads"
    )
    table.add_column("step")
    for column in ("median ms", "min", "max"):
        table.add_column(column, justify="right")
    for name, values in seconds.items():
        table.add_row(name, *(f"{1000 * f(values):.0f}" for f in (statistics.median, min, max)))
    console = Console()
    console.print(table)
    console.print(
        f"full fine-tuning takes {statistics.median(ratios):.2f} times as long "
        f"(pair by pair {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    if arguments.json:
        write_text(arguments.json, json.dumps({"seconds": seconds, "ratios": ratios}, indent=2) + "\n")


def hra_step(backbone: Backbone, features: Tensor, lens: Tensor, tokens: list[list[int]]) -> Callable[[], None]:
    adapter = new_adapter(TASKS, backbone.width)
    tasks = [TASKS[n % len(TASKS)] for n in range(len(features))]
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-5)
    return lambda: update(backbone, features, lens, tokens, optimizer, adapter.for_tasks(tasks))


def full_step(backbone: Backbone, features: Tensor, lens: Tensor, tokens: list[list[int]]) -> Callable[[], None]:
    backbone.requires_grad_(True)
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-5)
    return lambda: update(backbone, features, lens, tokens, optimizer, None)


def update(backbone, features, lens, tokens, optimizer, after_layer) -> None:  # type: ignore[no-untyped-def]
    encoder_out, encoder_out_lens = backbone.encode(features, lens, after_layer)
    loss = pruned_loss(backbone, encoder_out, encoder_out_lens, tokens).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
