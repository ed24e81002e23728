#!/usr/bin/env python3
"""Writes an icefall checkpoint's weights as float16 safetensors: half the size, and no pickle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from hra_cli.errors import HraError
from hra_cli.io.files import replacing


def halve_checkpoint(checkpoint: Path, output: Path) -> None:
    """Keeps the names in the state dict "model". Raises HraError where a weight does not fit float16."""
    weights = torch.load(checkpoint, map_location="cpu")["model"]
    halved = {name: weight.half().contiguous() for name, weight in weights.items()}
    for name, weight in halved.items():
        if not torch.isfinite(weight).all():
            raise HraError(
                f"{checkpoint}: {name} has weights outside the range of float16; keep the checkpoint as it is"
            )
    with replacing(output) as temporary:
        save_file(halved, temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help='icefall\'s pretrained.pt, {"model": state dict}')
    parser.add_argument("output", type=Path, help="model.safetensors")
    arguments = parser.parse_args()
    try:
        halve_checkpoint(arguments.checkpoint, arguments.output)
    except HraError as error:
        print(f"halve_checkpoint.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
