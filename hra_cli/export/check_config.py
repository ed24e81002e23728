"""What is checked of an exported folder. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Those searches of transducer/names.py that sherpa-onnx has, too.
SEARCHES = ("greedy_search", "modified_beam_search")


@dataclass(frozen=True)
class CheckConfig:
    """Options of `hra check-export`.

    folder: what `hra export-onnx` has made. data: a prepared folder, of which `split` is decoded. tasks: () for all
    that have a graph and the split. no_heads: decode with the frozen recogniser's graph.
    """

    folder: Path
    data: Path
    split: str = "test"
    tasks: tuple[str, ...] = ()
    no_heads: bool = False
    decoding_method: str = SEARCHES[0]
