"""What is exported, and where to. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hra_cli.backbone.options import BackboneOptions
from hra_cli.errors import HraError
from hra_cli.io.files import check_text
from hra_cli.io.hub import is_address

# The forms of a graph: what is put into its files' names, and a line on each.
FLOAT32, INT8, FLOAT16 = "", ".int8", ".fp16"
VARIANTS = {FLOAT32: "float32", INT8: "int8", FLOAT16: "fp16"}


@dataclass(frozen=True)
class ExportConfig:
    """Options of `hra export-onnx`.

    output: the folder to make. exp_dir, heads_dir, heads: where heads come from, one of them, or no_heads for the
    frozen model alone. controller: for head files that bundle none. tasks: () for all that have a head.
    chunk_size, left_context_frames: frames of 20 ms, for streams; both or neither. int8, fp16: also write
    graphs with weights of 8 bits, of 16 bits.

    Raises HraError where options contradict each other, or would have no effect.
    """

    backbone: Path
    output: Path
    exp_dir: Optional[Path] = None
    heads_dir: Optional[Path] = None
    heads: tuple[Path, ...] = ()
    controller: Optional[Path] = None
    tasks: tuple[str, ...] = ()
    no_heads: bool = False
    pos_head_dim: int = BackboneOptions.pos_head_dim
    chunk_size: Optional[int] = BackboneOptions.chunk_size
    left_context_frames: Optional[int] = BackboneOptions.left_context_frames
    int8: bool = False
    fp16: bool = False

    def __post_init__(self) -> None:
        for path in (self.output, *self.sources):
            check_text(path)
        if self.backbone_options.chunk_size is not None:
            self.backbone_options.check_streaming()
        given = self.exp_dir or self.heads_dir or self.heads
        if not given and not self.no_heads:
            raise HraError("give heads with --exp-dir, --heads or --head, or export the frozen model with --no-heads")
        if given and self.no_heads:
            raise HraError("give heads or --no-heads, not both")
        if self.no_heads and self.tasks:
            raise HraError("--task chooses heads, and has no effect with --no-heads; leave it out")
        if self.controller and (self.exp_dir or self.no_heads):
            raise HraError(
                f"--controller has no effect with {'--no-heads' if self.no_heads else '--exp-dir'}; leave it out"
            )

    @property
    def sources(self) -> list[Path]:
        """The paths that are read."""
        backbone = None if is_address(self.backbone) else self.backbone
        return [path for path in (backbone, self.exp_dir, self.heads_dir, *self.heads, self.controller) if path]

    @property
    def backbone_options(self) -> BackboneOptions:
        """How the recogniser is run: on the CPU, in float32."""
        return BackboneOptions(self.pos_head_dim, self.chunk_size, self.left_context_frames, device="cpu")

    @property
    def variants(self) -> list[str]:
        """The forms of every graph that are written, keys of VARIANTS."""
        return [FLOAT32, *([INT8] if self.int8 else []), *([FLOAT16] if self.fp16 else [])]
