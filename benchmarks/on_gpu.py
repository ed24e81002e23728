"""What a GPU makes of training steps and of recognition: utterances a second, how busy it is, and with what.

The host sends a GPU one small kernel after the other. Where it cannot send them as fast as they are done, the GPU
waits.
How busy it is, is the time in kernels (torch's profiler) as a share of the time that the same work takes without the
profiler. Then the largest block of the encoder (backbone/rows.py) is tried in several sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import torch
from models import MODELS, model, trained
from pairs import machine, timed_pairs, wait_for_gpu, with_spread
from rich.console import Console
from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from train_step import TASKS, bfloat16_step, cached_step, random_batch, step

from hra_cli.adapter.adapter import new_adapter
from hra_cli.backbone import rows
from hra_cli.backbone.model import Backbone
from hra_cli.io.files import write_text
from hra_cli.nn.device import find_device, to_device
from hra_cli.transducer.search import search
from hra_cli.transducer.search_options import SearchOptions

SECONDS = 6
BATCHES = (8, 64)  # utterances
GAPS = (0.1, 0.25, 0.5, 1.0)
AREAS = (1 << 23, 1 << 25, 1 << 27)
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, action="append", help="default: both")
    parser.add_argument("--pairs", type=int, default=5, help="times that each is measured, after two to warm up")
    parser.add_argument("--device", type=find_device, default="cuda", help="cuda or cuda:N; default: cuda")
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    console = Console(width=180)
    busy = Table(title=f"utterances of {SECONDS} s")
    for column in ("recogniser", "utterances", "work", "ms", "a second", "busy", "kernels", "waits", "MiB", "largest"):
        busy.add_column(column, justify="right")
    blocks = Table(title="64 utterances of 1 – 6 s, one pass of the encoder with heads: times as long as it is set")
    for column in ("recogniser", "gap", "area", "blocks", "ms", "times as long"):
        blocks.add_column(column, justify="right")
    found: dict[str, Any] = {"busy": [], "blocks": []}
    for name in arguments.model or MODELS:
        for utterances in BATCHES:
            for what, work in works(name, utterances, arguments.device).items():
                one = how_busy(work, arguments.pairs)
                found["busy"].append({"recogniser": name, "utterances": utterances, "work": what, **one})
                largest = ", ".join(f"{kernel[:40]} {share:.0%}" for kernel, share in one["largest"].items())
                row = [
                    name, str(utterances), what, f"{one['ms']:.1f}", f"{1000 * utterances / one['ms']:,.0f}",
                    f"{one['busy']:.0%}", f"{one['kernels']:,}", str(one["waits"]), f"{one['peak_mib']:,.0f}", largest,
                ]  # fmt: skip
                busy.add_row(*row)
                console.print(*row[:-1], sep=", ")
        for gap, area, one in of_blocks(name, arguments.device, arguments.pairs):
            found["blocks"].append({"recogniser": name, "gap": gap, "area": area, **one})
            blocks.add_row(name, str(gap), f"{area:,}", str(one["blocks"]), one["ms"], one["ratio"])
    console.print(busy)
    console.print(blocks)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), **found}, indent=2) + "\n")


def works(name: str, utterances: int, device: torch.device) -> dict[str, Work]:
    """What is measured, by name."""
    data = random_batch(utterances, 100 * SECONDS, device)
    return {
        "a training step": step("hra-linear:64", model(name, device), data),
        "its front end cached": cached_step(model(name, device), data),
        "in bfloat16": bfloat16_step(model(name, device), data),
        "the front end": front_end(model(name, device), data[0], data[1]),
        "encoder with heads": encoding(model(name, device), data[0], data[1]),
        "and greedy search": recognition(model(name, device), data[0], data[1]),
    }


def front_end(backbone: Backbone, features: torch.Tensor, lens: torch.Tensor) -> Work:
    return torch.no_grad()(lambda: backbone.embed(features, lens))


def encoding(backbone: Backbone, features: torch.Tensor, lens: torch.Tensor) -> Work:
    adapter = trained(new_adapter(TASKS, backbone.width)).to(backbone.device)
    tasks = [TASKS[n % len(TASKS)] for n in range(len(features))]
    return torch.no_grad()(lambda: backbone.encode(features, lens, adapter.for_tasks(tasks)))


def recognition(backbone: Backbone, features: torch.Tensor, lens: torch.Tensor) -> Work:
    encode = encoding(backbone, features, lens)
    return lambda: search("greedy_search", backbone, *encode(), SearchOptions())  # type: ignore[misc]


def how_busy(work: Work, times: int) -> dict[str, Any]:
    """How long `work` takes, and how the GPU spends that time."""
    torch.cuda.reset_peak_memory_stats()
    taken = statistics.median(timed_pairs(lambda: None, work, times).b)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        work()
        wait_for_gpu()
    kernels: Counter[str] = Counter()
    number = waits = 0
    for event in profiled.events():
        if event.device_type == DeviceType.CUDA:
            kernels[event.name] += event.time_range.elapsed_us()
            number += 1
        elif event.name == "cudaStreamSynchronize":
            waits += 1
    in_kernels = sum(kernels.values())
    return {
        "ms": 1000 * taken,
        "busy": in_kernels / 1e6 / taken,
        "kernels": number,
        "waits": waits,
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
        "largest": {kernel: us / in_kernels for kernel, us in kernels.most_common(3)},
    }


def of_blocks(name: str, device: torch.device, times: int) -> Iterator[tuple[float, int, dict[str, Any]]]:
    """The encoder's time with blocks of other sizes than it has, as a ratio to its time with those that it has."""
    torch.manual_seed(0)
    lens = (100 * (1 + 5 * torch.rand(64))).long()
    features = to_device(torch.randn(len(lens), int(lens.max()), 80), device)
    backbone = model(name, device)
    encode = encoding(backbone, features, lens)
    as_it_is = rows.LARGEST_GAP_ON_GPU, rows.LARGEST_AREA_ON_GPU
    tried = [(gap, as_it_is[1]) for gap in GAPS] + [(as_it_is[0], area) for area in AREAS]
    for gap, area in dict.fromkeys(tried):
        with blocks_of(gap, area):
            number = len(backbone.embed(features, lens)[1].blocks)

        def changed(gap: float = gap, area: int = area) -> None:
            with blocks_of(gap, area):
                encode()

        pairs = timed_pairs(encode, changed, times)
        yield gap, area, {
            "blocks": number, "ms": with_spread(pairs.b, 1000, 1), "ratio": with_spread(pairs.ratios)
        }  # fmt: skip


@contextmanager
def blocks_of(gap: float, area: int) -> Iterator[None]:
    before = rows.LARGEST_GAP_ON_GPU, rows.LARGEST_AREA_ON_GPU
    rows.LARGEST_GAP_ON_GPU, rows.LARGEST_AREA_ON_GPU = gap, area
    try:
        yield
    finally:
        rows.LARGEST_GAP_ON_GPU, rows.LARGEST_AREA_ON_GPU = before


if __name__ == "__main__":
    main()
