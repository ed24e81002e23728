"""One training step: HRA heads against the other methods of `hra compare`, as ratios in the same run.

All run this project's loss on the same batch; they differ in what moves. HRA's matrices are moved by Muon, as in
training, everything else by AdamW. Where the `zipformer` package is installed, the peers' own way is measured as well:
on its encoder, which is icefall's, with icefall's adapters and with PEFT's LoRA.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Callable

import torch
from models import MODELS, model
from pairs import add_device, machine, timed_pairs, with_spread
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from zipformer_package import Package, package_is_installed

from hra_cli.adapter.task_adapter import TaskAdapter
from hra_cli.backbone.model import Backbone
from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import parse_method
from hra_cli.io.files import write_text
from hra_cli.nn.device import to_device
from hra_cli.nn.memory import keep_freed_memory
from hra_cli.training.gradient_sharing import SHARING
from hra_cli.training.optimizers import new_optimizers
from hra_cli.transducer.loss import pruned_loss

TASKS = [f"task-{n}" for n in range(8)]
PEERS = ("full", "bitfit", "residual-adapters:8", "lora:8")
ON_PACKAGE: dict[str, Callable[[Package], list[nn.Parameter]]] = {
    "full fine-tuning": lambda package: package.fine_tune(),
    "four bottlenecks of 8 a layer": lambda package: package.add_bottlenecks(8),
    "LoRA by PEFT, r=8": lambda package: package.add_lora(8),
}
SECONDS_PER_TASK = 60.0  # of training data
LR = 1e-5
Data = tuple[Tensor, Tensor, list[list[int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, action="append", help="default: both")
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each utterance")
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    table = Table(
        title=f"a step of {arguments.utterances} utterances of {arguments.seconds} s: "
        "how many times as long as HRA (linear, H = 64) the others take"
    )
    for column in ("recogniser", "encoder", "method", "HRA ms", "its ms", "times as long"):
        table.add_column(column, justify="right")
    found = []
    for name in arguments.model or MODELS:
        data = random_batch(arguments.utterances, int(100 * arguments.seconds), arguments.device)
        hra = step("hra-linear:64", model(name, arguments.device), data)
        peers = [("hra", "HRA, its front end cached", cached_step), ("hra", "HRA in bfloat16", bfloat16_step)]
        peers += [("hra", parse_method(peer).label, partial(step, peer)) for peer in PEERS]
        if package_is_installed():
            peers += [("package", label, partial(package_step, moves)) for label, moves in ON_PACKAGE.items()]
        for encoder, label, peer in track(peers, description=name):
            pairs = timed_pairs(hra, peer(model(name, arguments.device), data), arguments.pairs, warm_up=1)
            found.append({"recogniser": name, "encoder": encoder, "method": label, **pairs.as_json()})
            times = (with_spread(pairs.a, 1000, 0), with_spread(pairs.b, 1000, 0), with_spread(pairs.ratios))
            table.add_row(name, encoder, label, *times)
    Console(width=140).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "steps": found}, indent=2) + "\n")


def random_batch(utterances: int, frames: int, device: torch.device) -> Data:
    """Features on the device, lengths on the host, tokens."""
    torch.manual_seed(0)
    tokens = [[3 + n % 50] * max(1, frames // 40) for n in range(utterances)]
    return to_device(torch.randn(utterances, frames, 80), device), torch.full((utterances,), frames), tokens


def step(method: str, backbone: Backbone, data: Data, tasks: list[str] = TASKS) -> Callable[[], None]:
    """One update by `method` of `hra compare`."""
    features, lens, _ = data
    model, adapter = new_method(parse_method(method), backbone, tasks, seed=42)
    adapter.to(backbone.device)
    chosen = [tasks[n % len(tasks)] for n in range(len(features))]
    return updating(
        model,
        optimizers_of(method, adapter),
        lambda: model.encode(features, lens, adapter.for_tasks(chosen)),
        data,
    )


def optimizers_of(method: str, adapter: TaskAdapter) -> list[torch.optim.Optimizer]:
    """As `hra compare` has them."""
    sharing = SHARING[parse_method(method).kind.sharing]
    return new_optimizers(adapter, LR, sharing([SECONDS_PER_TASK] * len(adapter.tasks)))


def cached_step(backbone: Backbone, data: Data) -> Callable[[], None]:
    """HRA where the front end's output is known, as `--cache-frontend` has it from the second epoch on."""
    features, lens, _ = data
    backbone, adapter = new_method(parse_method("hra-linear:64"), backbone, TASKS, seed=42)
    adapter.to(backbone.device)
    with torch.no_grad():
        embedded, rows = backbone.embed(features, lens)
    tasks = [TASKS[n % len(TASKS)] for n in range(len(features))]
    return updating(
        backbone,
        optimizers_of("hra-linear:64", adapter),
        lambda: backbone.encode_rows(embedded, rows, adapter.for_tasks(tasks)),
        data,
    )


def bfloat16_step(backbone: Backbone, data: Data) -> Callable[[], None]:
    """HRA with `--precision bfloat16`."""
    return step("hra-linear:64", backbone.copy(precision="bfloat16"), data)


def package_step(moves: Callable[[Package], list[nn.Parameter]], backbone: Backbone, data: Data) -> Callable[[], None]:
    """One update on the package's encoder."""
    features, lens, _ = data
    package = Package(backbone)
    optimizers = [torch.optim.AdamW(moves(package), lr=LR)]
    return updating(backbone, optimizers, lambda: package.encode(features, lens), data)


def updating(
    backbone: Backbone,
    optimizers: list[torch.optim.Optimizer],
    encode: Callable[[], tuple[Tensor, Tensor]],
    data: Data,
) -> Callable[[], None]:
    """What is timed: forward, loss, backward, update."""

    def update() -> None:
        encoder_out, frames = encode()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        pruned_loss(backbone, encoder_out, frames, data[2]).sum().total.backward()
        for optimizer in optimizers:
            optimizer.step()

    return update


if __name__ == "__main__":
    main()
