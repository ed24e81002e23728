"""Any corpus that lhotse can read: its cuts, with tasks and splits by what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from lhotse import CutSet

from hra_cli.data.assignment import cuts_by_task
from hra_cli.data.audio import naming
from hra_cli.data.corpus import Corpus
from hra_cli.data.manifests import read_cuts
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import RandomSplit
from hra_cli.data.task_index import check_task_names
from hra_cli.io.files import sha256_of_file


def cuts_corpus(
    cuts_file: Path,
    task_by: str,
    split_by: Optional[str] = None,
    random_split: RandomSplit = RandomSplit(),  # noqa: B008 - frozen
    allow_commands: bool = False,
) -> Corpus:
    """The cuts in a lhotse manifest. task_by, split_by: as in `cuts_by_task`; random_split: where there is no split_by.

    allow_commands: whether audio may come from shell commands and URLs, which run when it is read. Raises HraError
    where the manifest is missing, damaged or something else. A manifest that has changed is another corpus.
    """
    cuts = read_cuts(cuts_file, allow_commands)
    arguments: dict[str, Any] = {
        "cuts": os.path.abspath(cuts_file),
        "cuts-sha256": sha256_of_file(cuts_file),
        "task-by": task_by,
    }
    if split_by is None:
        arguments["test-fraction"] = random_split.test_fraction
        arguments["dev-fraction"] = random_split.dev_fraction
        arguments["seed"] = random_split.seed
    else:
        arguments["split-by"] = split_by

    def assigned() -> tuple[CutSet, list[Skipped]]:
        found, skipped = cuts_by_task(cuts, task_by, split_by)
        with naming(str(cuts_file)):
            check_task_names({cut.custom["task"] for cut in found})
        return found, skipped

    return Corpus(
        arguments,
        assigned,
        random_split if split_by is None else None,
        allow_commands,
    )
