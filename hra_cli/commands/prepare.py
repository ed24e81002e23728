"""`hra prepare`: a corpus to a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from hra_cli.commands.given import refuse_useless
from hra_cli.commands.options import choice
from hra_cli.commands.prepared_text import print_text_changes
from hra_cli.commands.terminal import say
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import RandomSplit
from hra_cli.data.text_form import CASES, UNICODE_FORMS, TextOptions

if TYPE_CHECKING:
    from hra_cli.data.corpus import Corpus
    from hra_cli.data.task_index import TaskIndex

app = typer.Typer(
    name="prepare",
    help="Turn a corpus into a data folder: checked cuts per task and split, and features.",
    no_args_is_help=True,
)

OUTPUT_DIR = typer.Option(..., "--output-dir", help="The data folder to write.")
NUM_JOBS = typer.Option(PrepareOptions.num_jobs, "--num-jobs", help="Processes that read audio.")
ON_THE_FLY = typer.Option(
    PrepareOptions.on_the_fly,
    "--on-the-fly",
    help="Store no features; compute them from the audio whenever they are needed.",
)
PERTURB_SPEED = typer.Option(
    PrepareOptions.perturb_speed,
    "--perturb-speed",
    help="Triple the training data: as it is, 0.9 and 1.1 times as fast.",
)
BACKBONE = typer.Option(
    None,
    "--backbone",
    help="A recogniser's folder; transcripts are put into the form of its tokenizer, and what it cannot write is "
    "skipped.",
)
TEXT = typer.Option(
    TextOptions.text,
    "--text",
    help="auto: the case, punctuation and Unicode form that the tokenizer knows; keep: transcripts as they are. "
    "Default: auto with --backbone.",
)
TEXT_CASE = choice(TextOptions.text_case, CASES, "The case of transcripts")
STRIP_PUNCTUATION = typer.Option(
    TextOptions.strip_punctuation,
    "--strip-punctuation",
    help="Take punctuation out of transcripts, but apostrophes within words.",
)
UNICODE_FORM = choice(TextOptions.unicode_form, UNICODE_FORMS, "The Unicode form of transcripts")


@app.command("fsdd")
def fsdd(
    corpus_dir: Path = typer.Argument(..., help="A clone of free-spoken-digit-dataset."),
    output_dir: Path = OUTPUT_DIR,
    num_jobs: int = NUM_JOBS,
    on_the_fly: bool = ON_THE_FLY,
    perturb_speed: bool = PERTURB_SPEED,
    backbone: Optional[Path] = BACKBONE,
    text: Optional[str] = TEXT,
    text_case: str = TEXT_CASE,
    strip_punctuation: bool = STRIP_PUNCTUATION,
    unicode_form: str = UNICODE_FORM,
) -> None:
    """The Free Spoken Digit Dataset: one task per speaker, its official test split."""
    from hra_cli.data.corpora.fsdd import fsdd_corpus

    text_options = TextOptions(text, text_case, strip_punctuation, unicode_form)
    options = PrepareOptions(num_jobs, on_the_fly, perturb_speed, text_options)
    _prepare(fsdd_corpus(corpus_dir), output_dir, options, backbone)


@app.command("cuts")
def cuts(
    context: typer.Context,
    cuts_file: Path = typer.Argument(..., metavar="CUTS", help="A lhotse cut manifest (cuts.jsonl.gz)."),
    task_by: str = typer.Option(..., "--task-by", help="speaker, custom.FIELD or constant:NAME."),
    output_dir: Path = OUTPUT_DIR,
    split_by: Optional[str] = typer.Option(
        None,
        "--split-by",
        help="custom.FIELD that says train, dev or test; without it tasks are split at random.",
    ),
    test_fraction: float = typer.Option(
        RandomSplit.test_fraction, "--test-fraction", help="Part of each task to test on."
    ),
    dev_fraction: float = typer.Option(
        RandomSplit.dev_fraction, "--dev-fraction", help="Part of each task to choose a model on."
    ),
    seed: int = typer.Option(RandomSplit.seed, "--seed", help="Another seed gives another random split."),
    allow_commands: bool = typer.Option(
        False,
        "--allow-commands",
        help="Run the shell commands and follow the URLs that cuts name as their audio. Only for manifests you trust.",
    ),
    num_jobs: int = NUM_JOBS,
    on_the_fly: bool = ON_THE_FLY,
    perturb_speed: bool = PERTURB_SPEED,
    backbone: Optional[Path] = BACKBONE,
    text: Optional[str] = TEXT,
    text_case: str = TEXT_CASE,
    strip_punctuation: bool = STRIP_PUNCTUATION,
    unicode_form: str = UNICODE_FORM,
) -> None:
    """Any corpus that lhotse can read: tasks and splits by what its cuts say."""
    from hra_cli.data.corpora.cuts import cuts_corpus

    if split_by is not None:
        refuse_useless(context, "with --split-by", "test_fraction", "dev_fraction", "seed")
    text_options = TextOptions(text, text_case, strip_punctuation, unicode_form)
    options = PrepareOptions(num_jobs, on_the_fly, perturb_speed, text_options)
    random_split = RandomSplit(test_fraction, dev_fraction, seed)
    corpus = cuts_corpus(cuts_file, task_by, split_by, random_split, allow_commands)
    _prepare(corpus, output_dir, options, backbone)


def _prepare(corpus: Corpus, output_dir: Path, options: PrepareOptions, backbone: Optional[Path]) -> None:
    from hra_cli.commands.progress import progress_bar
    from hra_cli.data.corpus import prepare_corpus
    from hra_cli.data.find_tokenizer import load_tokenizer

    tokenizer = None if backbone is None else load_tokenizer(backbone)
    with progress_bar() as progress:
        prepared = prepare_corpus(corpus, output_dir, options, tokenizer, progress)
    if prepared.was_there:
        say(f"{output_dir} is already prepared with these arguments")
    if prepared.index.text is not None:
        print_text_changes(prepared.index.text)
    _print_tables(prepared.index)


def _print_tables(index: TaskIndex) -> None:
    from rich.table import Table

    from hra_cli.commands.tables import PlainConsole
    from hra_cli.data.skipped import SKIPPED_NAME
    from hra_cli.data.splits import SPLITS
    from hra_cli.data.transcripts import advice

    console = PlainConsole()
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
    for split in SPLITS:
        lacking = index.without_split(split)
        if lacking:
            say(f"without {split}, since they have too few utterances or none of it: {_listed(lacking)}")
    if index.skipped:
        table = Table("skipped because")
        table.add_column("utterances", justify="right")
        for reason, count in index.skipped.items():
            table.add_row(reason, str(count))
        console.print(table)
        say(f"each one is listed in {index.data_dir / SKIPPED_NAME}")
        form = advice(index.skipped, sum(entry.utterances for _, _, entry in entries) + sum(index.skipped.values()))
        if form:
            say(form)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
