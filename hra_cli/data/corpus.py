"""From a corpus to a data folder: what every `hra prepare` does, whatever the corpus is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from lhotse import CutSet
from rich.progress import Progress

from hra_cli.data.preparation import find_prepared, prepare
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import RandomSplit
from hra_cli.data.task_index import TaskIndex
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError


@dataclass(frozen=True)
class Corpus:
    """Something that can be prepared; the modules of data/corpora make one each.

    arguments:      what decides its cuts, as JSON; a data folder made from equal ones need not be made again.
    cuts:           makes the cuts, each with one supervision and "task" and "split" in its `custom`, and lists what
                    cannot be used.
    random_split:   how to split the tasks where the cuts have no "split".
    allow_commands: whether its audio may come from shell commands and URLs.
    """

    arguments: Mapping[str, Any]
    cuts: Callable[[], tuple[CutSet, list[Skipped]]]
    random_split: Optional[RandomSplit] = None
    allow_commands: bool = False


@dataclass(frozen=True)
class Prepared:
    """A data folder's index, and whether it was there before."""

    index: TaskIndex
    was_there: bool


def prepare_corpus(
    corpus: Corpus,
    output_dir: Path,
    options: PrepareOptions = PrepareOptions(),  # noqa: B008 - frozen
    tokenizer: Optional[Tokenizer] = None,
    progress: Optional[Progress] = None,
) -> Prepared:
    """Makes the data folder `output_dir`, or finds that it was made from the same corpus with the same options.

    tokenizer: utterances whose text it cannot write, once `text_options` is done to it, are left out. progress: told of
    every utterance.
    Raises HraError as `prepare` does.
    """
    if corpus.allow_commands and options.on_the_fly:
        raise HraError("commands run once, when data are prepared; store features, without --on-the-fly")
    arguments = {
        **corpus.arguments,
        **({"perturb-speed": True} if options.perturb_speed else {}),
        **options.text_options.arguments(has_tokenizer=tokenizer is not None),
    }
    before = find_prepared(output_dir, arguments, on_the_fly=options.on_the_fly, tokenizer=tokenizer)
    if before is not None:
        return Prepared(before, was_there=True)
    cuts, skipped = corpus.cuts()
    index = prepare(
        cuts,
        output_dir,
        arguments,
        skipped=skipped,
        random_split=corpus.random_split,
        perturb_speed=options.perturb_speed,
        allow_commands=corpus.allow_commands,
        num_jobs=options.num_jobs,
        on_the_fly=options.on_the_fly,
        tokenizer=tokenizer,
        text=options.text_options,
        progress=progress,
    )
    return Prepared(index, was_there=False)
