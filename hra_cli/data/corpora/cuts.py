"""Any corpus that lhotse can read: the cuts of a manifest."""

from __future__ import annotations

import os
from pathlib import Path

from hra_cli.data.corpus import Corpus
from hra_cli.data.manifests import stream_cuts
from hra_cli.io.files import sha256_of_file


def cuts_corpus(cuts_file: Path, allow_commands: bool = False) -> Corpus:
    """The cuts in a lhotse manifest, with the fields that they have.

    allow_commands: whether audio may come from shell commands and URLs, which run when it is read. Raises HraError
    where the manifest is missing or something else; its cuts do where it is damaged. A manifest that has changed is
    another corpus.
    """
    stream_cuts(cuts_file, allow_commands)  # says now that it is none
    return Corpus(
        path=cuts_file,
        arguments={"cuts": os.path.abspath(cuts_file), "cuts-sha256": sha256_of_file(cuts_file)},
        cuts=lambda: (stream_cuts(cuts_file, allow_commands), []),
        task_by=None,
        allow_commands=allow_commands,
    )
