#!/usr/bin/env python3
"""Holds streams against whole utterances that are masked as streams are, and counts those whose tokens differ.

Both get the same features: a stream is followed by silence, so the whole utterance is followed by as much.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from lhotse import CutSet

from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.batch_plan import decoding_batches
from hra_cli.data.batches import Batch, load_batches
from hra_cli.data.features import SILENCE
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.online import TAIL_FRAMES, OnlineRecogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.transducer.search import search
from hra_cli.transducer.search_interface import Hypothesis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="a folder that hra prepare has made")
    parser.add_argument("--split", default="test")
    parser.add_argument("--exp-dir", type=Path, help="heads to use; without, the frozen model")
    parser.add_argument("--chunks", nargs="+", default=["32:128"], help="CHUNK:LEFT, frames of 20 ms")
    parser.add_argument("--decoding-method", default="greedy_search")
    parser.add_argument("--max-duration", type=float, default=100.0, help="seconds of audio in a batch")
    arguments = parser.parse_args()
    try:
        differ = [compare(arguments, *map(int, one.split(":"))) for one in arguments.chunks]
    except HraError as error:
        print(f"against_whole.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if any(differ) else 0)


def compare(arguments: argparse.Namespace, chunk_size: int, left_context_frames: int) -> int:
    """How many utterances differ with these chunks; says so, too."""
    options = BackboneOptions(chunk_size=chunk_size, left_context_frames=left_context_frames, device="cpu")
    recogniser = load_recogniser(arguments.backbone, options, exp_dir=arguments.exp_dir)
    index = load_tasks(arguments.data)
    cuts = CutSet.from_cuts(
        cut for name in index.with_split(arguments.split) for cut in index.cuts(name, arguments.split)
    )
    differ, tokens = 0, 0
    for batch in load_batches(decoding_batches(cuts, arguments.max_duration)):
        for one, other in zip(*(find(recogniser, batch, arguments.decoding_method) for find in (whole, streams))):
            differ += one != other
            tokens += len(one.tokens)
    what = f"chunk {chunk_size}, left context {left_context_frames}, {arguments.decoding_method}"
    print(f"{what}: {differ} of {len(cuts)} streams differ from the whole, in {tokens:,} tokens", flush=True)
    return differ


@torch.no_grad()
def streams(recogniser: Recogniser, batch: Batch, method: str) -> list[Hypothesis]:
    online = OnlineRecogniser(recogniser, method)
    opened = [online.open(task) for task in batch.tasks]
    for stream, features, length in zip(opened, batch.features, batch.feature_lens.tolist()):
        stream.accept_features(features[:length])
        stream.finish()
    online.run(opened)
    return [stream.hypothesis for stream in opened]


@torch.no_grad()
def whole(recogniser: Recogniser, batch: Batch, method: str) -> list[Hypothesis]:
    backbone = recogniser.backbone
    shift, take = backbone.chunk_features
    chunks = [-(-(length + TAIL_FRAMES) // shift) for length in batch.feature_lens.tolist()]
    fed = torch.tensor([(number - 1) * shift + take for number in chunks])
    features = torch.full((len(fed), int(fed.max()), batch.features.shape[2]), SILENCE)
    for into, own, length in zip(features, batch.features, batch.feature_lens.tolist()):
        into[:length] = own[:length]
    after_layer = None if recogniser.adapter is None else recogniser.adapter.for_tasks(batch.tasks)
    encoder_out, _ = backbone.encode(features, fed, after_layer)
    # The whole goes on for a frame or two that no chunk has.
    lens = torch.tensor(chunks) * shift // backbone.sizes.subsampling
    return search(method, backbone, encoder_out, lens)


if __name__ == "__main__":
    main()
