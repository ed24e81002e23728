"""Decoding a test set beside sherpa-onnx: the same files, the same search, one thread each.

FOLDER is what `hra export-onnx` has written, for whole utterances or for streams; the frozen recogniser is measured.
Both sides read the audio and compute features. sherpa-onnx decodes one by one, and in batches (`decode_streams`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from pairs import machine, quartiles, timed_pairs, with_spread
from rich.console import Console
from rich.table import Table

from hra_cli.data.audio import mono_audio
from hra_cli.data.task_index import load_tasks
from hra_cli.export.export_config import FLOAT32
from hra_cli.export.export_record import read_record, recogniser_of
from hra_cli.export.sherpa import Sherpa
from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory
from hra_cli.recognition.streamed import StreamingRecogniser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, help="a folder that hra prepare has made")
    parser.add_argument("--decoding-method", default="greedy_search")
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument("--batch", type=int, default=16, help="utterances in a batch of sherpa-onnx")
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(1)
    record = read_record(arguments.folder)
    index = load_tasks(arguments.data)
    cuts = [cut.drop_features() for task in index.with_split("test") for cut in index.cuts(task, "test")]
    seconds = sum(cut.duration for cut in cuts)
    recogniser = recogniser_of(record, arguments.folder, [])
    streams = record.chunk_size is not None
    if streams:
        recogniser = StreamingRecogniser(recogniser)

    def hra() -> None:
        for _ in recogniser.decode(CutSet.from_cuts(cuts), arguments.decoding_method):
            pass

    sherpa = Sherpa(arguments.folder, streams, FLOAT32, None, arguments.decoding_method, num_threads=1)
    alone, together = (by_sherpa(sherpa, cuts, size) for size in (1, arguments.batch))
    table = Table(title=f"{len(cuts)} {'streams' if streams else 'utterances'}, {seconds:.0f} s, one thread")
    for column in ("sherpa-onnx", "its real-time factor", "hra's", "times as long as sherpa-onnx"):
        table.add_column(column, justify="right")
    found = []
    for name, theirs in (("one by one", alone), (f"batches of {arguments.batch}", together)):
        pairs = timed_pairs(theirs, hra, arguments.pairs, warm_up=1)
        factors = [[taken / seconds for taken in side] for side in (pairs.a, pairs.b)]
        found.append({"sherpa-onnx": name, "rtf": [quartiles(one)[1] for one in factors], **pairs.as_json()})
        table.add_row(name, *(with_spread(one, digits=4) for one in factors), with_spread(pairs.ratios))
    Console(width=140).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "beside": found}, indent=2) + "\n")


def by_sherpa(sherpa: Sherpa, cuts: list[Cut], size: int) -> Callable[[], None]:
    """Batches of `size` utterances."""

    def decode() -> None:
        for begin in range(0, len(cuts), size):
            sherpa.recognise([mono_audio(cut)[0] for cut in cuts[begin : begin + size]])

    return decode


if __name__ == "__main__":
    main()
