"""Decoding a test set beside sherpa-onnx: the same files, the same search, one thread each.

FOLDER is what `hra export-onnx` has written, for whole utterances or for streams; the frozen recogniser is measured.
Both sides read the audio and compute features. sherpa-onnx decodes one by one, and in batches (`decode_streams`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Callable

import sherpa_onnx
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from pairs import machine, quartiles, timed_pairs, with_spread
from rich.console import Console
from rich.table import Table

from hra_cli.data.audio import mono_audio
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.task_index import load_tasks
from hra_cli.export.export_record import read_record, recogniser_of
from hra_cli.export.sherpa import TAIL, graph_names
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

    alone, together = (sherpa(arguments, streams, cuts, size) for size in (1, arguments.batch))
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


def sherpa(arguments: argparse.Namespace, streams: bool, cuts: list[Cut], size: int) -> Callable[[], None]:
    """sherpa-onnx's own loop over batches of `size` utterances."""
    kind = sherpa_onnx.OnlineRecognizer if streams else sherpa_onnx.OfflineRecognizer
    files = {name: str(arguments.folder / file) for name, file in graph_names("", None).items()}
    more = {"model_type": "zipformer2"} if streams else {}
    recogniser: Any = kind.from_transducer(**files, num_threads=1, decoding_method=arguments.decoding_method, **more)

    def decode() -> None:
        for begin in range(0, len(cuts), size):
            batch = []
            for cut in cuts[begin : begin + size]:
                stream = recogniser.create_stream()
                stream.accept_waveform(SAMPLING_RATE, mono_audio(cut)[0])
                if streams:
                    stream.accept_waveform(SAMPLING_RATE, [0.0] * round(TAIL * SAMPLING_RATE))
                    stream.input_finished()
                batch.append(stream)
            if not streams:
                recogniser.decode_streams(batch)
            while streams and (ready := [one for one in batch if recogniser.is_ready(one)]):
                recogniser.decode_streams(ready)

    return decode


if __name__ == "__main__":
    main()
