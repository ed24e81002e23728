"""One chunk of many streams, each with its own head, against one head for all, and against no heads.

What is timed is `OnlineRecogniser.advance`: chunks are gathered, states joined, encoder, heads and greedy search run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

import torch
from models import trained
from pairs import add_device, machine, timed_pairs, with_spread
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.backbone.model import Backbone, load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory
from hra_cli.recognition.online import OnlineRecogniser
from hra_cli.transducer.adapted import AdaptedModel

RECOGNISER = Path(__file__).parents[1] / "recipes" / "streaming" / "backbone"
STREAMS = (1, 8, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="measured pairs, after two to warm up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunk-size", type=int, default=32, help="frames of 20 ms")
    parser.add_argument("--left-context-frames", type=int, default=128)
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    options = BackboneOptions(
        chunk_size=arguments.chunk_size,
        left_context_frames=arguments.left_context_frames,
        device=str(arguments.device),
    )
    backbone = load_backbone(RECOGNISER, options)
    table = Table(title=f"A chunk of {arguments.chunk_size * 0.02:.2f} s of speech of every stream")
    for column in ("streams", "ms with one head", "each its own head", "no heads", "real-time factor"):
        table.add_column(column, justify="right")
    found = []
    for streams in track(STREAMS, description="streams"):
        tasks = [f"task-{n}" for n in range(streams)]
        adapter = trained(new_adapter(tasks, backbone.width))
        one = chunk_of(backbone, adapter, tasks[:1] * streams)
        own = timed_pairs(one, chunk_of(backbone, adapter, tasks), arguments.pairs)
        none = timed_pairs(one, chunk_of(backbone, None, tasks), arguments.pairs)
        factors = [taken / streams / (arguments.chunk_size * 0.02) for taken in own.b]
        found.append({"streams": streams, "own": own.as_json(), "none": none.as_json()})
        table.add_row(
            str(streams),
            with_spread(own.a, 1000, 1),
            with_spread(own.ratios, digits=3),
            with_spread(none.ratios, digits=3),
            with_spread(factors, digits=4),
        )
    Console(width=140).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "streams": found}, indent=2) + "\n")


def chunk_of(backbone: Backbone, adapter: Adapter | None, tasks: list[str]) -> Callable[[], None]:
    """Recognises the next chunk of a stream for each of these tasks; they never end."""
    online = OnlineRecogniser(AdaptedModel(backbone, load_tokenizer(RECOGNISER / "bpe.model"), adapter))
    streams = [online.open(task) for task in tasks]
    generator = torch.Generator().manual_seed(0)
    for stream in streams:
        stream.accept_features(torch.randn(online.take - online.shift, 80, generator=generator) - 6)
    heard = torch.randn(len(tasks), online.shift, 80, generator=generator) - 6

    def advance() -> None:
        for stream, features in zip(streams, heard):
            stream.accept_features(features)
        assert online.advance(streams) == len(streams)

    return advance


if __name__ == "__main__":
    main()
