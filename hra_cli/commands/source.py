"""What every `hra prepare SOURCE` has in common: options, and what is done with the corpus that the source gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from hra_cli.commands.given import is_given, refuse_useless
from hra_cli.commands.options import CLUSTER, choice
from hra_cli.commands.subcommands import add_command
from hra_cli.commands.terminal import say
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import AT_RANDOM, Assignment, RandomSplit
from hra_cli.data.text_form import CASES, UNICODE_FORMS, TextOptions

if TYPE_CHECKING:
    from hra_cli.data.corpus import Corpus

ALLOW_COMMANDS = typer.Option(
    False,
    "--allow-commands",
    help="Run the shell commands and follow the URLs that are named as audio. Only for data you trust.",
)


def source(app: typer.Typer, name: str) -> Callable[[Callable[..., Corpus]], Callable[..., Corpus]]:
    """Makes a function from its own options to a corpus a subcommand of `app`, which takes those of `_asked` too."""

    def add(function: Callable[..., Corpus]) -> Callable[..., Corpus]:
        own = inspect.signature(function).parameters
        common = inspect.signature(_asked).parameters

        def command(**given: Any) -> None:
            # First what is wrong in itself, then what is wrong with the corpus.
            asked = _asked(**{key: given[key] for key in common})
            _prepare(function(**{key: given[key] for key in own}), asked)

        # What typer makes the options of. It looks the annotations up among the names of this file.
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own.values(), *common.values())]
        command.__doc__ = function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        add_command(app, name, command)
        return function

    return add


@dataclass(frozen=True)
class _Asked:
    """What the options that all sources have ask for."""

    context: typer.Context
    output_dir: Path
    assignment: Assignment
    options: PrepareOptions
    backbone: Optional[Path]


def _asked(
    context: typer.Context,
    output_dir: Path = typer.Option(..., "--output-dir", help="The data folder to write."),
    task_by: Optional[str] = typer.Option(
        Assignment.task_by,
        "--task-by",
        help="Which task an utterance belongs to: speaker, gender, language, a field or column (custom.FIELD), "
        "constant:NAME, or file:FILE with lines `utterance task`. Default: speaker, where the source knows it.",
    ),
    split_by: Optional[str] = typer.Option(
        Assignment.split_by,
        "--split-by",
        help="What says train, dev or test: a field or column, file:FILE with lines `utterance split`, or random. "
        "Default: what the source says, else random.",
    ),
    test_fraction: float = typer.Option(
        RandomSplit.test_fraction, "--test-fraction", help="At random: part of each task to test on."
    ),
    dev_fraction: float = typer.Option(
        RandomSplit.dev_fraction,
        "--dev-fraction",
        help="At random: part of each task to choose a model on. Where splits are given without dev: part of train.",
    ),
    seed: int = typer.Option(RandomSplit.seed, "--seed", help="Another seed gives another random split."),
    split_speakers: bool = typer.Option(
        RandomSplit.split_speakers, "--split-speakers", help="At random: no speaker in two splits."
    ),
    num_jobs: int = typer.Option(PrepareOptions.num_jobs, "--num-jobs", help="Processes that read audio."),
    cluster: Optional[str] = CLUSTER,
    on_the_fly: bool = typer.Option(
        PrepareOptions.on_the_fly,
        "--on-the-fly",
        help="Store no features; compute them from the audio whenever they are needed.",
    ),
    shar: bool = typer.Option(
        PrepareOptions.shar,
        "--shar",
        help="Copy the audio, at 16 kHz as FLAC, into Shar archives in the data folder, and compute features from them "
        "whenever they are needed.",
    ),
    perturb_speed: bool = typer.Option(
        PrepareOptions.perturb_speed,
        "--perturb-speed",
        help="Triple the training data: as it is, 0.9 and 1.1 times as fast.",
    ),
    backbone: Optional[Path] = typer.Option(
        None,
        "--backbone",
        help="A recogniser's folder or hf://OWNER/NAME; transcripts are put into the form of its tokenizer, and what "
        "it cannot write is skipped.",
    ),
    text_form: Optional[str] = typer.Option(
        TextOptions.text_form,
        "--text-form",
        help="auto: the case, punctuation and Unicode form that the tokenizer knows; keep: transcripts as they are. "
        "Default: auto with --backbone.",
    ),
    text_case: str = choice(TextOptions.text_case, CASES, "The case of transcripts"),
    strip_punctuation: bool = typer.Option(
        TextOptions.strip_punctuation,
        "--strip-punctuation",
        help="Take punctuation out of transcripts, but apostrophes within words.",
    ),
    unicode_form: str = choice(TextOptions.unicode_form, UNICODE_FORMS, "The Unicode form of transcripts"),
) -> _Asked:
    given = split_by not in (None, AT_RANDOM)
    dev_of_train = given and _dev_of_train(context, "with --split-by")
    random_split = RandomSplit(test_fraction, dev_fraction, seed, split_speakers, dev_of_train)
    assignment = Assignment(task_by, split_by, random_split)
    text_options = TextOptions(text_form, text_case, strip_punctuation, unicode_form)
    if cluster is not None:
        refuse_useless(context, "with --cluster", "num_jobs")
    options = PrepareOptions(num_jobs, cluster, on_the_fly, shar, perturb_speed, text_options)
    return _Asked(context, output_dir, assignment, options, backbone)


def _dev_of_train(context: typer.Context, where: str) -> bool:
    """Where splits are given: whether dev is to be drawn from train. Raises HraError for options without an effect."""
    drawn = is_given(context, "dev_fraction")
    refuse_useless(context, where, "test_fraction", *(() if drawn else ("seed", "split_speakers")))
    return drawn


def _prepare(corpus: Corpus, asked: _Asked) -> None:
    from hra_cli.backbone.location import located
    from hra_cli.commands.prepared_tables import print_tables
    from hra_cli.commands.prepared_text import print_text_changes
    from hra_cli.commands.progress import progress_bar
    from hra_cli.data.corpus import prepare_corpus
    from hra_cli.data.find_tokenizer import load_tokenizer

    assignment = asked.assignment
    if assignment.split_by is None and corpus.split_by is not None:
        dev_of_train = _dev_of_train(asked.context, "where the source says the splits")
        assignment = replace(assignment, random_split=replace(assignment.random_split, dev_of_train=dev_of_train))
    for note in corpus.notes:
        say(note)
    tokenizer = None if asked.backbone is None else load_tokenizer(located(asked.backbone))
    with progress_bar() as progress:
        prepared = prepare_corpus(corpus, asked.output_dir, assignment, asked.options, tokenizer, progress)
    if prepared.was_there:
        say(f"{asked.output_dir} is already prepared with these arguments")
    if prepared.index.text is not None:
        print_text_changes(prepared.index.text)
    print_tables(prepared.index)
