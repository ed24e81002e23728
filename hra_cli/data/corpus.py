"""From a corpus to a data folder: what every `hra prepare` does, whatever the corpus is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Optional

from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli.data.assignment import assigned
from hra_cli.data.cut_fields import FORMS, parse_field
from hra_cli.data.preparation import find_prepared, prepare
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import AT_RANDOM, Assignment, RandomSplit
from hra_cli.data.task_index import TaskIndex
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError
from hra_cli.io.files import sha256_of_file


@dataclass(frozen=True)
class Corpus:
    """Something that can be prepared; the modules of data/corpora make one each.

    path:           where it lies, for messages.
    arguments:      what decides its cuts, as JSON; a data folder made from equal ones need not be made again.
    cuts:           gives the cuts, and a list of what cannot be used, which is whole once all cuts are asked for. Their
                    supervisions have what the source knows: text, speaker, gender, language, and whatever else in their
                    `custom`.
    task_by:        which task an utterance belongs to where nobody says another; None: the user has to say.
    split_by:       the field that says train, dev or test; None: none does.
    allow_commands: whether its audio may come from shell commands and URLs.
    notes:          what was found out and not asked for, a line each.
    """

    path: Path
    arguments: Mapping[str, Any]
    cuts: Callable[[], tuple[Iterable[Cut], list[Skipped]]]
    task_by: Optional[str] = "speaker"
    split_by: Optional[str] = None
    allow_commands: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A data folder's index, and whether it was there before."""

    index: TaskIndex
    was_there: bool


def prepare_corpus(
    corpus: Corpus,
    output_dir: Path,
    assignment: Assignment = Assignment(),  # noqa: B008 - frozen
    options: PrepareOptions = PrepareOptions(),  # noqa: B008 - frozen
    tokenizer: Optional[Tokenizer] = None,
    progress: Optional[Progress] = None,
) -> Prepared:
    """Makes the data folder `output_dir`, or finds that it was made from the same corpus in the same way.

    assignment: to tasks and splits. tokenizer: utterances whose text it cannot write, once the options' text options
    are done to it, are left out. progress: told of every utterance. Raises HraError as `prepare` and `assigned` do.
    """
    if corpus.allow_commands and options.on_the_fly:
        raise HraError("commands run once, when data are prepared; store features, without --on-the-fly")
    task_by, split_by, random_split = _resolved(corpus, assignment)
    arguments = {
        **corpus.arguments,
        **_recorded(corpus, task_by, split_by, random_split),
        **({"perturb-speed": True} if options.perturb_speed else {}),
        **options.text_options.arguments(has_tokenizer=tokenizer is not None),
    }
    before = find_prepared(output_dir, arguments, on_the_fly=options.on_the_fly, shar=options.shar, tokenizer=tokenizer)
    if before is not None:
        return Prepared(before, was_there=True)
    found, skipped = corpus.cuts()
    without: list[Skipped] = []
    cuts = assigned(found, without, task_by, split_by, corpus.path)
    if random_split is not None and random_split.dev_of_train:
        cuts = _without_dev(cuts, corpus.path)
    index = prepare(
        cuts,
        output_dir,
        arguments,
        corpus=corpus.path,
        skipped=chain(skipped, without),
        random_split=random_split,
        perturb_speed=options.perturb_speed,
        allow_commands=corpus.allow_commands,
        num_jobs=options.num_jobs,
        cluster=options.cluster,
        on_the_fly=options.on_the_fly,
        shar=options.shar,
        tokenizer=tokenizer,
        text=options.text_options,
        progress=progress,
    )
    return Prepared(index, was_there=False)


def _without_dev(cuts: Iterable[Cut], corpus: Path) -> Iterator[Cut]:
    for cut in cuts:
        if cut.custom["split"] == "dev":
            raise HraError(f"{corpus} has a dev split; leave out --dev-fraction")
        yield cut


def _resolved(corpus: Corpus, assignment: Assignment) -> tuple[str, Optional[str], Optional[RandomSplit]]:
    """What decides tasks and splits: the assignment, and where it is silent the corpus."""
    task_by = assignment.task_by or corpus.task_by
    if task_by is None:
        raise HraError(f"say with --task-by which task an utterance belongs to: {FORMS}")
    split_by = assignment.split_by or corpus.split_by or AT_RANDOM
    drawn = assignment.random_split
    at_random = split_by == AT_RANDOM
    if drawn.split_speakers and task_by == "speaker" and (at_random or drawn.dev_of_train):
        raise HraError("--split-speakers leaves a task of one speaker no other split; choose another --task-by")
    if at_random:
        return task_by, None, replace(drawn, dev_of_train=False)
    return task_by, split_by, replace(drawn, test_fraction=0.0) if drawn.dev_of_train else None


def _recorded(
    corpus: Corpus, task_by: str, split_by: Optional[str], random_split: Optional[RandomSplit]
) -> dict[str, Any]:
    """How tasks and splits were decided, as JSON, without what goes without saying for the corpus."""
    recorded: dict[str, Any] = {}
    for name, spec, usual in (("task-by", task_by, corpus.task_by), ("split-by", split_by, corpus.split_by)):
        if spec is not None and spec != usual:
            parse_field(spec, f"--{name}")  # now, not after the corpus has been read
            recorded[name] = spec
            if spec.startswith("file:"):
                recorded[f"{name}-sha256"] = sha256_of_file(Path(spec.removeprefix("file:")))
    if random_split is not None:
        if not random_split.dev_of_train:
            recorded["test-fraction"] = random_split.test_fraction
        recorded["dev-fraction"] = random_split.dev_fraction
        recorded["seed"] = random_split.seed
        if random_split.split_speakers:
            recorded["split-speakers"] = True
    return recorded
