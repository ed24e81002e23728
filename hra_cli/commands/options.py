"""Options that several subcommands share, and those that are a choice. Defaults are those of the configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional

import typer

from hra_cli.adapter.head_kinds import KINDS
from hra_cli.backbone.options import PRECISIONS, WHOLE, BackboneOptions
from hra_cli.data.splits import SPLITS
from hra_cli.errors import HraError, did_you_mean
from hra_cli.experiment.config import TrainConfig
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.transducer.names import LOSSES, RNNT_TYPES, SEARCHES


def choice(default: str, names: Mapping[str, Any], help: str) -> Any:
    """An option that takes one of `names`, whose values are a line of help each where they are text.

    Help lists the names; the shell completes them and shows their lines. Any other name raises HraError.
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        found = [name for name in names if name.startswith(incomplete)]
        return [(name, names[name] if isinstance(names[name], str) else "") for name in found]

    def check(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
        if value not in names:
            raise HraError(f"no such {option.opts[0]}: '{value}'{did_you_mean(value, names)}")
        return value

    return typer.Option(default, help=f"{help}: {', '.join(names)}.", autocompletion=complete, callback=check)


def complete_list(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completes the last name of a list with commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + name for name in names() if name.startswith(last)]

    return complete


def _none_for_whole(value: Optional[int]) -> Optional[int]:
    return None if value == WHOLE else value


def _devices(incomplete: str) -> list[str]:
    return [name for name in ("auto", "cpu", "cuda", "cuda:0") if name.startswith(incomplete)]


BACKBONE = typer.Option(..., help="Folder or checkpoint of the icefall recogniser, or hf://OWNER/NAME[@REVISION].")
DATA = typer.Option(..., help="Folder that `hra prepare` has made.")
POS_HEAD_DIM = typer.Option(
    BackboneOptions.pos_head_dim, help="The recogniser's pos_head_dim; 4 in every published model."
)
CHUNK_SIZE = typer.Option(
    BackboneOptions.chunk_size,
    help="Causal models: frames of 20 ms in a chunk. Default, and -1: full context.",
    callback=_none_for_whole,
)
LEFT_CONTEXT_FRAMES = typer.Option(
    BackboneOptions.left_context_frames,
    help="Causal models: frames of 20 ms seen before a chunk. Default, and -1: all.",
    callback=_none_for_whole,
)
CHUNK_SIZES = typer.Option(
    TrainConfig.chunk_size,
    metavar="FRAMES",
    help="Causal models: frames of 20 ms in a chunk; of a list such as 16,32,64,-1 one is drawn for every batch. "
    "Default, and -1: full context.",
)
LEFT_CONTEXTS = typer.Option(
    TrainConfig.left_context_frames,
    metavar="FRAMES",
    help="Causal models: frames of 20 ms seen before a chunk, at least a chunk; of a list such as 64,128,256,-1 one is "
    "drawn for every batch. Default, and -1: all.",
)
VALIDATE_CHUNK_SIZE = typer.Option(
    TrainConfig.validate_chunk_size,
    help="The chunk size that heads will be used with, by which the epoch is chosen; -1: full context. Default: the "
    "smallest of --chunk-size.",
)
VALIDATE_LEFT_CONTEXT_FRAMES = typer.Option(
    TrainConfig.validate_left_context_frames,
    help="The left context that heads will be used with; -1: all. Default: the smallest of --left-context-frames.",
)
DEVICE = typer.Option(
    BackboneOptions.device,
    help="What computes: auto (CUDA where there is one, else cpu), cpu, cuda, cuda:N.",
    autocompletion=_devices,
)
NUM_EPOCHS = typer.Option(TrainConfig.num_epochs, help="Passes over the training data.")
MAX_DURATION = typer.Option(TrainConfig.max_duration, help="Seconds of audio in a batch.")
CLUSTER = typer.Option(
    None,
    "--cluster",
    help="Where jobs run: local:N, processes of this machine; tcp://HOST:PORT, a Dask scheduler; or the file that it "
    "wrote. Default: no cluster.",
)
NUM_WORKERS = typer.Option(TrainConfig.num_workers, help="Processes that read data ahead. 0: a thread does.")
LR = typer.Option(TrainConfig.lr, help="Peak learning rate.")
SEED = typer.Option(TrainConfig.seed, help="Same seed, same machine: same heads.")
INNER = typer.Option(TrainConfig.inner, help="F, the inner size of heads that have one.")
SPEC_AUGMENT = typer.Option(TrainConfig.spec_augment, help="Mask and warp features while training.")

PRECISION = choice(
    BackboneOptions.precision,
    dict.fromkeys(PRECISIONS, ""),
    "What the encoder multiplies in; 16 bits are faster where the device has the instructions, and less exact",
)
DECODING_METHOD = choice(DecodeConfig.decoding_method, SEARCHES, "How tokens are searched for")
SPLIT = choice(DecodeConfig.split, dict.fromkeys(SPLITS, ""), "Which part of the data to decode")
HEAD = choice(TrainConfig.head, KINDS, "The kind of head")
RNNT_TYPE = choice(TrainConfig.rnnt_type, RNNT_TYPES, "k2's kind of transducer")
LOSS = choice(TrainConfig.loss, LOSSES, "What computes the loss; the value is the same, hra is faster")
