"""What thousands of tasks cost: joint training by several processes, onboarding by several workers, packs of heads.

`--parts` chooses among:

steps    joint training by 1 and 2 processes, in pairs: how many times as fast, and what the all-reduces take
onboard  `hra onboard` of --tasks tasks by 1 and 2 workers
pack     their heads in one file, and their test utterances decoded from it, all tasks mixed
decode   an utterance of each of --many-tasks tasks, from as many heads, beside the same utterances of one task
cuts     `hra prepare --on-the-fly` and the start of training with millions of cuts: their memory and time
index    the list of tasks in prepared data: its size, and what it takes to read
sizes    bytes by the formulas of docs/scale.md

Speech is that of recipes/voices, synthetic, or of any prepared folder with a task for each speaker. The controller and
the common head are trained on the first --joint-speakers of them. The utterances of every other speaker are dealt to
several tasks, each to one: so several tasks are of the same voice, but no two have an utterance in common. `steps`
trains on all speakers; its further tasks have a head and no speech. The tasks of `decode` share the test utterances of
all speakers, and their heads are the common head, each perturbed by a hundredth of its size in its own way.

Every process has one thread. `pack` needs what `onboard` has left in --work; the others make what they lack.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from models import SMALL
from pairs import machine
from rich.console import Console
from rich.table import Table
from scale_cuts import cuts
from scale_onboard import onboard
from scale_packs import decode, pack
from scale_sizes import index, sizes
from scale_work import by_processes, wanted

from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory

HERE = Path(__file__).parent
VOICES = HERE.parent / "recipes" / "voices" / "data" / "voices"
PACKAGES = ("hra", "torch", "k2", "lhotse", "safetensors", "dask")


def steps_part(arguments: argparse.Namespace) -> dict[str, Any]:
    work = wanted(arguments)
    with TemporaryDirectory() as folder:
        output = Path(folder) / "steps.json"
        given = ["--backbone", work.backbone, "--data", work.data, "--max-duration", arguments.max_duration]
        given += ["--steps", arguments.steps, "--pairs", arguments.pairs, "--bank-tasks", *arguments.bank_tasks]
        by_processes(arguments.processes, HERE / "scale_steps.py", *given, "--output", output)
        found: dict[str, Any] = json.loads(output.read_text())
        return found


def onboard_part(arguments: argparse.Namespace) -> dict[str, Any]:
    return onboard(
        wanted(arguments), arguments.tasks, arguments.tasks_per_job, arguments.workers, arguments.onboard_epochs
    )


def pack_part(arguments: argparse.Namespace) -> dict[str, Any]:
    work, workers = wanted(arguments), arguments.workers[-1]
    if not (work.folder / f"onboard-{workers}" / "heads").is_dir():
        sys.exit(f"`pack` needs the heads of {workers} workers; run --parts onboard with the same --work first")
    return pack(work, arguments.tasks, workers, arguments.pairs)


def decode_part(arguments: argparse.Namespace) -> dict[str, Any]:
    return decode(wanted(arguments), arguments.many_tasks, arguments.pairs)


def cuts_part(arguments: argparse.Namespace) -> dict[str, Any]:
    folder = arguments.work.resolve() / "many-cuts"
    return {"counts": [cuts(folder, count) for count in arguments.cuts]}


def index_part(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"indexes": [index(count) for count in arguments.index_tasks]}


def sizes_part(arguments: argparse.Namespace) -> dict[str, Any]:
    return sizes()


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "steps": steps_part,
    "onboard": onboard_part,
    "pack": pack_part,
    "decode": decode_part,
    "cuts": cuts_part,
    "index": index_part,
    "sizes": sizes_part,
}


def main() -> None:
    arguments = parse_arguments()
    keep_freed_memory()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"machine": machine(), "versions": versions(), "command": shlex.join(sys.argv)}
    console = Console(width=120)
    for name in arguments.parts:
        found[name] = PARTS[name](arguments)
        console.print(shown(name, found[name]))
        if arguments.output:  # after each part, since some take long
            write_text(arguments.output, json.dumps(found, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=parts, default=list(PARTS), help="separated by commas (default: all)")
    parser.add_argument("--data", type=Path, default=VOICES, help="prepared, a task for each speaker")
    parser.add_argument("--backbone", type=Path, default=SMALL)
    parser.add_argument("--work", type=Path, default=HERE / "out" / "scale", help="where parts leave their files")
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs, after one to warm up")
    parser.add_argument(
        "--joint-speakers", type=int, default=28, help="whom the controller is trained on (default: 28)"
    )
    parser.add_argument("--joint-epochs", type=int, default=8)
    steps = parser.add_argument_group("steps")
    steps.add_argument("--processes", type=int, default=2)
    steps.add_argument("--steps", type=int, default=10, help="of each measurement (default: 10)")
    steps.add_argument(
        "--max-duration", type=float, default=100.0, help="seconds of speech in the batch of all processes"
    )
    steps.add_argument("--bank-tasks", type=int, nargs="+", default=[128, 1024, 4096], help="heads that are trained")
    tasks = parser.add_argument_group("onboard and pack")
    tasks.add_argument("--tasks", type=int, default=1000)
    tasks.add_argument("--tasks-per-job", type=int, default=100)
    tasks.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    tasks.add_argument("--onboard-epochs", type=int, default=20)
    parser.add_argument("--many-tasks", type=int, default=10_000, help="of decode (default: 10,000)")
    parser.add_argument("--cuts", type=int, nargs="+", default=[1_000_000, 10_000_000], help="of cuts")
    parser.add_argument("--index-tasks", type=int, nargs="+", default=[10_000, 100_000], help="of index")
    parser.add_argument("--output", type=Path, help="a JSON file")
    return parser.parse_args()


def parts(text: str) -> list[str]:
    """In the order in which they need each other."""
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def versions() -> dict[str, str | None]:
    """Of what the numbers depend on; None for what is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def shown(name: str, found: dict[str, Any]) -> Table:
    """A part's numbers, one a line; those of its rows by their place."""
    table = Table(title=name, show_header=False)
    for where, value in lines("", found):
        table.add_row(where, f"{value:,.6g}" if isinstance(value, float) else str(value))
    return table


def lines(where: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(one, dict) for one in value):
        items = list(enumerate(value, 1))
    else:
        return [(where, value)]
    return [line for name, one in items for line in lines(f"{where} {name}".strip(), one)]


if __name__ == "__main__":
    main()
