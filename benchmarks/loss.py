"""Our pruned transducer loss against k2's: time of the loss and its gradient for encoder_out, and peak memory.

Everything but encoder_out is frozen. The transducer has random weights. Encoder frames are drawn two ways: "trained"
ones lean to an alignment of the tokens, as those of a recogniser that is being adapted do, and "random" ones to
nothing. k2 gets torch's own linear layers, as in icefall. Needs lane k2.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import torch
from pairs import machine, timed_pairs, with_spread
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from hra_cli.backbone.decoder import Decoder
from hra_cli.backbone.joiner import Joiner
from hra_cli.io.files import write_text
from hra_cli.nn.linear import Linear
from hra_cli.nn.memory import keep_freed_memory
from hra_cli.transducer.k2_library import import_k2
from hra_cli.transducer.loss import Loss, pruned_loss

WIDTH = 512
FRAMES_PER_TOKEN = 6
TOLERANCE = 1e-4  # k2's float32 lattice is off by as much on long utterances


@dataclass(frozen=True)
class Case:
    vocabulary: int
    frames: int  # of the longest utterance; the shortest has 60 % of them
    utterances: int
    kind: str = "trained"
    rnnt_type: str = "modified"


CASES = [
    Case(500, 375, 8),
    Case(500, 375, 8, "random"),
    Case(500, 375, 8, "random", "regular"),
    Case(500, 1500, 2),
    Case(500, 1500, 2, "random"),
    Case(5000, 375, 2),
    Case(5000, 375, 2, "random"),
    Case(5000, 1500, 1),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()

    import_k2()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    table = Table(title="loss and gradient: how many times as long, and as much memory, k2 takes")
    for column in ("V", "T", "N", "frames", "type", "ours ms", "k2 ms", "time", "ours MiB", "k2 MiB", "memory"):
        table.add_column(column, justify="right")
    found = []
    for case in track(CASES, description="cases"):
        ours, theirs = (work(case, library) for library in ("hra", "k2"))
        check_equal(case, ours(), theirs())
        pairs = timed_pairs(ours, theirs, arguments.pairs, warm_up=1)
        memory = [peak_memory(case, library) for library in ("hra", "k2")]
        found.append({**asdict(case), **pairs.as_json(), "mebibytes": memory})
        table.add_row(
            str(case.vocabulary), str(case.frames), str(case.utterances), case.kind, case.rnnt_type,
            with_spread(pairs.a, 1000, 0), with_spread(pairs.b, 1000, 0), with_spread(pairs.ratios),
            f"{memory[0]:.0f}", f"{memory[1]:.0f}", f"{memory[1] / memory[0]:.1f}",
        )  # fmt: skip
    Console(width=160).print(table)
    if arguments.output:
        write_text(arguments.output, json.dumps({"machine": machine(), "cases": found}, indent=2) + "\n")


def work(case: Case, library: str) -> Callable[[], tuple[Loss, Tensor]]:
    """What is timed: the loss and its gradient."""
    transducer, encoder_out, lens, tokens = batch(case)
    if library == "k2":
        for module in vars(transducer).values():
            with_torchs_own_layers(module)

    def run() -> tuple[Loss, Tensor]:
        loss = pruned_loss(transducer, encoder_out, lens, tokens, case.rnnt_type, library)
        (gradient,) = torch.autograd.grad(loss.sum().total, encoder_out)
        return loss, gradient

    return run


def batch(case: Case) -> tuple[Any, Tensor, Tensor, list[list[int]]]:
    """A transducer with random weights, encoder frames, their numbers, and tokens; the same for the same case."""
    torch.manual_seed(0)
    joiner = Joiner(WIDTH, WIDTH, WIDTH, case.vocabulary)
    transducer = SimpleNamespace(
        decoder=Decoder(case.vocabulary, WIDTH, 2, 4),
        joiner=joiner,
        simple_am_proj=Linear(WIDTH, case.vocabulary),
        simple_lm_proj=Linear(WIDTH, case.vocabulary),
    )
    with torch.no_grad():
        joiner.encoder_proj.weight.copy_(torch.eye(WIDTH))
        joiner.output_linear.weight.normal_(0, 0.1)
        transducer.simple_am_proj.weight.copy_(joiner.output_linear.weight)
    for module in vars(transducer).values():
        module.requires_grad_(False)

    lens = torch.linspace(case.frames, 0.6 * case.frames, case.utterances).long()
    encoder_out = 0.3 * torch.randn(case.utterances, case.frames, WIDTH)
    tokens = []
    for n, length in enumerate(lens.tolist()):
        at = torch.randperm(length)[: length // FRAMES_PER_TOKEN].sort().values
        labels = torch.zeros(length, dtype=torch.int64)
        labels[at] = torch.randint(1, case.vocabulary, at.shape)
        tokens.append(labels[at].tolist())
        if case.kind == "trained":
            encoder_out[n, :length] += 0.25 * joiner.output_linear.weight[labels].sign()
    return transducer, encoder_out.requires_grad_(), lens, tokens


def with_torchs_own_layers(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, Linear):
            part.__class__ = nn.Linear


def check_equal(case: Case, ours: tuple[Loss, Tensor], theirs: tuple[Loss, Tensor]) -> None:
    pairs = [(ours[0].simple, theirs[0].simple), (ours[0].pruned, theirs[0].pruned)]
    if case.kind == "trained":  # where nothing is likely, windows are chosen between equals, and rounding decides
        pairs.append((ours[1], theirs[1]))
        for one, other in pairs:
            assert (one - other).norm() < TOLERANCE * other.norm(), f"{case}: the losses differ"


def peak_memory(case: Case, library: str) -> float:
    """MiB that the loss and its gradient add to a process of their own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_memory, (case, library))


def _peak_memory(case: Case, library: str) -> float:
    torch.set_num_threads(1)
    run = work(case, library)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of importing torch
    before = _resident("VmRSS")
    run()
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    """KiB, as Linux counts this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
