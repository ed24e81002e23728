"""Our encoder against that of the `zipformer` package (pip install zipformer), the official stand-alone Zipformer.

Both have the same weights, all frozen, and encode the same batches in evaluation mode: forward alone, and forward and
backward to the front end's output, which is what adapting a frozen recogniser needs. Outputs and gradients are checked
to be equal before anything is timed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

import torch
from models import MODELS, model
from pairs import Pairs, add_device, machine, timed_pairs, with_spread
from rich.console import Console
from rich.table import Table
from torch import Tensor
from zipformer_package import Package, gradient

from hra_cli.backbone.batch_pass import BatchPass
from hra_cli.backbone.frontend import embedded_lens
from hra_cli.backbone.model import Backbone
from hra_cli.io.files import write_text
from hra_cli.nn.device import to_device
from hra_cli.nn.frames import padding_mask
from hra_cli.nn.memory import keep_freed_memory

BATCHES = {  # seconds of speech
    "8 of 6 – 16 s": [16.0, 14.3, 12.9, 11.2, 9.8, 8.4, 7.1, 6.0],
    "8 of 11 – 12 s": [12.0, 11.9, 11.7, 11.6, 11.5, 11.3, 11.1, 11.0],
    "24 of 1 – 3 s": [1.0 + 2.0 * n / 23 for n in range(24)],
}
TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after two to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", choices=MODELS, action="append", help="default: both")
    parser.add_argument("--batch", choices=BATCHES, action="append", help="default: all")
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.model or MODELS:
        ours = model(name, arguments.device)
        theirs = Package(ours)
        for batch in arguments.batch or BATCHES:
            features, lens = random_batch(BATCHES[batch])
            features = to_device(features, arguments.device)
            with torch.backends.cudnn.flags(allow_tf32=False):
                check_equal(ours, theirs, features, lens)
            for work, a, b in (
                ("forward", forward(ours, features, lens), theirs.forward_pass(features, lens)),
                ("forward and backward", both(ours, features, lens), theirs.both_passes(features, lens)),
            ):
                rows.append((name, batch, work, timed_pairs(a, b, arguments.pairs)))
                Console().print(*rows[-1][:3], with_spread(rows[-1][3].ratios), sep=", ")
    Console().print(as_table(rows))
    if arguments.output:
        measured = [{"model": m, "batch": b, "work": w, **pairs.as_json()} for m, b, w, pairs in rows]
        content = {"a": "hra", "b": "zipformer package", "machine": machine(), "measured": measured}
        write_text(arguments.output, json.dumps(content, indent=2) + "\n")


def as_table(rows: list[tuple[str, str, str, Pairs]]) -> Table:
    table = Table(title=f"Encoder, {torch.get_num_threads()} threads, torch {torch.__version__}: median [quartiles]")
    for column in ("model", "batch", "work"):
        table.add_column(column)
    for column in ("hra, ms", "package, ms", "package / hra"):
        table.add_column(column, justify="right")
    for recogniser, batch, work, pairs in rows:
        milliseconds = [with_spread(values, 1000, 0) for values in (pairs.a, pairs.b)]
        table.add_row(recogniser, batch, work, *milliseconds, with_spread(pairs.ratios))
    return table


def forward(backbone: Backbone, features: Tensor, lens: Tensor) -> Callable[[], Tensor]:
    @torch.no_grad()
    def work() -> Tensor:
        return backbone.encode(features, lens)[0]

    return work


def both(
    backbone: Backbone, features: Tensor, lens: Tensor, icefall_padding: bool = False
) -> Callable[[], tuple[Tensor, Tensor]]:
    def work() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            embedded, rows = backbone.embed(features, lens, icefall_padding)
        run = BatchPass(rows, backbone.options, icefall_padding=icefall_padding)
        out, grad = gradient(embedded, lambda x: backbone.encoder(x, run))
        out_rows = rows.at_rate(backbone.sizes.output_downsampling)
        return out_rows.to_batch(out).transpose(0, 1), rows.to_batch(grad).transpose(0, 1)

    return work


def check_equal(ours: Backbone, theirs: Package, features: Tensor, lens: Tensor) -> None:
    """The package lets padding leak into the last frames, so that this is compared with `icefall_padding`."""
    expected = theirs.both_passes(features, lens)()
    got = both(ours, features, lens, icefall_padding=True)()
    out_lens = (embedded_lens(lens) + 1) // 2
    for name, a, b, valid in zip(("outputs", "gradients"), got, expected, (out_lens, embedded_lens(lens))):
        differences = [(x[:n] - y[:n]).norm() / y[:n].norm() for x, y, n in zip(a, b, valid.tolist())]
        if not max(differences) < TOLERANCE:
            raise SystemExit(f"{name} differ by {float(max(differences)):.2g}: nothing to compare")


def random_batch(seconds: list[float]) -> tuple[Tensor, Tensor]:
    """Features whose values are spread as those of speech, and their lengths."""
    lens = torch.tensor([int(100 * each) for each in seconds])
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(len(lens), int(lens.max()), 80, generator=generator) * 3.0 - 8.0
    return features.masked_fill_(padding_mask(lens, features.shape[1]).unsqueeze(2), -23.025850929940457), lens


if __name__ == "__main__":
    main()
