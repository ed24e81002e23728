"""Decoding the test set of `make demo` with its heads, all accents mixed in a batch: real-time factors.

Features are computed beforehand, as `hra prepare` does; reading them is part of what is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Callable

import torch
from lhotse import combine
from pairs import add_device, machine, quartiles, timed_pairs, with_spread
from rich.console import Console
from rich.table import Table

from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.task_index import load_tasks
from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory
from hra_cli.recognition.load import load_recogniser
from hra_cli.transducer.names import SEARCHES
from hra_cli.transducer.search_options import SearchOptions

RECIPE = Path(__file__).parents[1] / "recipes" / "accents"
# fast_beam_search is k2's.
METHODS = [method for method in SEARCHES if method != "fast_beam_search" or importlib.util.find_spec("k2")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-duration", type=float, default=100.0, help="seconds of speech in a batch")
    add_device(parser)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    data, heads = RECIPE / "data" / "accents", RECIPE / "exp" / "hra"
    if not heads.is_dir():
        sys.exit("run `make demo` first: its test set is decoded here, with its heads")

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    options = BackboneOptions(device=str(arguments.device))
    index = load_tasks(data)
    cuts = combine(*[index.cuts(task, "test") for task in index.names])
    seconds = sum(cut.duration for cut in cuts)

    def decoding(frozen: bool, method: str) -> Callable[[], None]:
        recogniser = load_recogniser(RECIPE / "backbone", options, exp_dir=None if frozen else heads)

        def decode() -> None:
            for _ in recogniser.decode(cuts, method, SearchOptions(), arguments.max_duration):
                pass

        return decode

    greedy = decoding(False, METHODS[0])
    table = Table(title=f"{len(cuts)} utterances, {seconds:.0f} s: seconds of decoding per second of speech")
    for column in ("heads", "search", "real-time factor", "times as long as greedy"):
        table.add_column(column, justify="right")
    found = []
    for frozen, method in [(True, METHODS[0]), *((False, method) for method in METHODS)]:
        pairs = timed_pairs(greedy, decoding(frozen, method), arguments.pairs, warm_up=1)
        factors = [taken / seconds for taken in pairs.b]
        found.append({"frozen": frozen, "search": method, "rtf": quartiles(factors)[1], **pairs.as_json()})
        table.add_row("none" if frozen else "mixed", method, with_spread(factors, digits=4), with_spread(pairs.ratios))
    Console(width=120).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "searches": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
