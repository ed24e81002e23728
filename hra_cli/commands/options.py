"""Options that several subcommands share."""

from __future__ import annotations

import typer

BACKBONE = typer.Option(..., help="Folder or checkpoint of the icefall recogniser.")
POS_HEAD_DIM = typer.Option(4, help="The recogniser's pos_head_dim; 4 in every published model.")
CHUNK_SIZE = typer.Option(None, help="Causal models: frames of 20 ms in a chunk. Default: full context.")
LEFT_CONTEXT_FRAMES = typer.Option(None, help="Causal models: frames of 20 ms seen before a chunk. Default: all.")
PRECISION = typer.Option(
    "float32", help="float32, or bfloat16: faster where the processor has the instructions, less exact."
)
DEVICE = typer.Option("auto", help="auto (CUDA where there is one, else cpu), cpu, cuda or cuda:N.")
