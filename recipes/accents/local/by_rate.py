#!/usr/bin/env python3
"""WER of the slow and the fast utterances of a test set, from icefall's recogs files: what a transducer type does where
there are nearly as many tokens as encoder frames."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import sentencepiece
from lhotse import CutSet
from lhotse.utils import compute_num_frames
from rich.console import Console
from rich.table import Table

from hra_cli.backbone.model import load_backbone
from hra_cli.scoring.wer import ErrorCounts, count_errors, wer_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recogs", type=Path, nargs="+", help="recogs-*.txt files to compare")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True, help="a folder with a bpe.model in it")
    parser.add_argument("--split", default="test")
    parser.add_argument("--groups", type=int, default=4)
    arguments = parser.parse_args()

    backbone = load_backbone(arguments.backbone)
    bpe = sentencepiece.SentencePieceProcessor(model_file=str(arguments.backbone / "bpe.model"))
    rates = {}
    for manifest in arguments.data.glob(f"cuts/*/{arguments.split}.jsonl.gz"):
        for cut in CutSet.from_jsonl_lazy(manifest):
            frames = backbone.num_frames(compute_num_frames(cut.duration, 0.01, cut.sampling_rate))
            rates[cut.id] = len(bpe.encode(cut.supervisions[0].text)) / frames
    slowest_first = sorted(rates, key=lambda id_: (rates[id_], id_))
    size = -(-len(slowest_first) // arguments.groups)
    groups = [slowest_first[start : start + size] for start in range(0, len(slowest_first), size)]

    table = Table("recogs", *(f"{rates[group[0]]:.2f}-{rates[group[-1]]:.2f} tokens a frame" for group in groups))
    for file in arguments.recogs:
        texts = read_recogs(file)
        cells = []
        for group in groups:
            counts = sum((count_errors(*texts[id_]) for id_ in group), ErrorCounts())
            cells.append(f"{wer_text(counts.wer, 1)} % ({counts.deletions} del)")
        table.add_row(str(file), *cells)
    Console(width=200).print(table)


def read_recogs(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Reference and hypothesis by id."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in file.read_text().splitlines():
        match = re.fullmatch(r"(\S+):\t(ref|hyp)=(.*)", line)
        if match:
            found.setdefault(match[1], {})[match[2]] = ast.literal_eval(match[3])
    return {id_: (texts["ref"], texts["hyp"]) for id_, texts in found.items()}


if __name__ == "__main__":
    main()
