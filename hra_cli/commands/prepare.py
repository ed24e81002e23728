"""`hra prepare`: a corpus to a data folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Optional

import typer
from lhotse import CutSet
from rich.console import Console
from rich.table import Table

from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.commands.progress import progress_bar
from hra_cli.data.assignment import cuts_by_task
from hra_cli.data.corpora.fsdd import fsdd_cuts
from hra_cli.data.perturb import with_perturbed_speed
from hra_cli.data.preparation import prepare, prepared, read_cuts
from hra_cli.data.skipped import SKIPPED_NAME, Skipped
from hra_cli.data.task_index import TaskIndex
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.io.files import sha256_of_file

app = typer.Typer(
    name="prepare",
    help="Turn a corpus into a data folder: checked cuts per task and split, and features.",
    no_args_is_help=True,
)

OUTPUT_DIR = typer.Option(..., "--output-dir", help="The data folder to write.")
NUM_JOBS = typer.Option(2, "--num-jobs", help="Processes that read audio.")
ON_THE_FLY = typer.Option(
    False, "--on-the-fly", help="Store no features; compute them from the audio whenever they are needed."
)
PERTURB_SPEED = typer.Option(
    False, "--perturb-speed", help="Triple the training data: as it is, 0.9 and 1.1 times as fast."
)
BACKBONE = typer.Option(
    None, "--backbone", help="A recogniser's folder; skip transcripts that its tokenizer cannot write."
)


@app.command("fsdd")
def fsdd(
    corpus_dir: Path = typer.Argument(..., help="A clone of free-spoken-digit-dataset."),
    output_dir: Path = OUTPUT_DIR,
    num_jobs: int = NUM_JOBS,
    on_the_fly: bool = ON_THE_FLY,
    perturb_speed: bool = PERTURB_SPEED,
    backbone: Optional[Path] = BACKBONE,
) -> None:
    """The Free Spoken Digit Dataset: one task per speaker, its official test split."""
    arguments = {"corpus": "fsdd", "corpus-dir": os.path.abspath(corpus_dir)}
    _prepare(lambda: fsdd_cuts(corpus_dir), arguments, output_dir, num_jobs, on_the_fly, perturb_speed, backbone)


@app.command("cuts")
def cuts(
    cuts_file: Path = typer.Argument(..., metavar="CUTS", help="A lhotse cut manifest (cuts.jsonl.gz)."),
    task_by: str = typer.Option(..., "--task-by", help="speaker, custom.FIELD or constant:NAME."),
    output_dir: Path = OUTPUT_DIR,
    split_by: Optional[str] = typer.Option(
        None,
        "--split-by",
        help="custom.FIELD that says train, dev or test; without it tasks are split at random.",
    ),
    test_fraction: float = typer.Option(0.1, "--test-fraction", help="Part of each task to test on."),
    dev_fraction: float = typer.Option(0.1, "--dev-fraction", help="Part of each task to choose a model on."),
    seed: int = typer.Option(42, "--seed", help="Another seed gives another random split."),
    num_jobs: int = NUM_JOBS,
    on_the_fly: bool = ON_THE_FLY,
    perturb_speed: bool = PERTURB_SPEED,
    backbone: Optional[Path] = BACKBONE,
) -> None:
    """Any corpus that lhotse can read: tasks and splits by what its cuts say."""
    all_cuts = read_cuts(cuts_file)
    arguments: dict[str, Any] = {
        "cuts": os.path.abspath(cuts_file),
        "cuts-sha256": sha256_of_file(cuts_file),
        "task-by": task_by,
    }
    if split_by is None:
        arguments.update({"test-fraction": test_fraction, "dev-fraction": dev_fraction, "seed": seed})
    else:
        arguments["split-by"] = split_by

    def split_cuts() -> tuple[CutSet, list[Skipped]]:
        return cuts_by_task(all_cuts, task_by, split_by, test_fraction, dev_fraction, seed)

    _prepare(split_cuts, arguments, output_dir, num_jobs, on_the_fly, perturb_speed, backbone)


def _prepare(
    make_cuts: Callable[[], tuple[CutSet, list[Skipped]]],
    arguments: dict[str, Any],
    output_dir: Path,
    num_jobs: int,
    on_the_fly: bool,
    perturb_speed: bool,
    backbone: Optional[Path],
) -> None:
    tokenizer = None
    if backbone is not None:
        tokenizer = Tokenizer(find_bpe_model(backbone))
    if perturb_speed:
        arguments = {**arguments, "perturb-speed": True}
    index = prepared(output_dir, arguments, on_the_fly=on_the_fly, tokenizer=tokenizer)
    if index is not None:
        typer.echo(f"{output_dir} is already prepared with these arguments")
    else:
        usable, skipped = make_cuts()
        if perturb_speed:
            usable = with_perturbed_speed(usable)
        with progress_bar() as progress:
            index = prepare(
                usable,
                output_dir,
                arguments,
                skipped=skipped,
                num_jobs=num_jobs,
                on_the_fly=on_the_fly,
                tokenizer=tokenizer,
                progress=progress,
            )
    _print_tables(index)


def _print_tables(index: TaskIndex) -> None:
    console = Console()
    table = Table("task", "split")
    for name in ("utterances", "minutes", "words"):
        table.add_column(name, justify="right")
    entries = [(task, split, entry) for task in index.names for split, entry in index.splits(task).items()]
    for task, split, entry in entries:
        table.add_row(task, split, str(entry.utterances), f"{entry.seconds / 60:.1f}", str(entry.words))
    table.add_section()
    table.add_row(
        f"{len(index.names)} tasks",
        "",
        str(sum(entry.utterances for _, _, entry in entries)),
        f"{sum(entry.seconds for _, _, entry in entries) / 60:.1f}",
        str(sum(entry.words for _, _, entry in entries)),
    )
    console.print(table)
    if index.skipped:
        table = Table("skipped because")
        table.add_column("utterances", justify="right")
        for reason, count in index.skipped.items():
            table.add_row(reason, str(count))
        console.print(table)
        typer.echo(f"each one is listed in {index.data_dir / SKIPPED_NAME}")
