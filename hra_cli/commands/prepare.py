"""`hra prepare`: a corpus to a data folder. One subcommand for every kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hra_cli.commands.source import ALLOW_COMMANDS, source

if TYPE_CHECKING:
    from hra_cli.data.corpus import Corpus

app = typer.Typer(
    name="prepare",
    help="Turn a corpus into a data folder: checked cuts per task and split, and features.",
    no_args_is_help=True,
)


@source(app, "fsdd")
def fsdd(corpus_dir: Path = typer.Argument(..., help="A clone of free-spoken-digit-dataset.")) -> Corpus:
    """The Free Spoken Digit Dataset: one task per speaker, its official test split."""
    from hra_cli.data.corpora.fsdd import fsdd_corpus

    return fsdd_corpus(corpus_dir)


@source(app, "cuts")
def cuts(
    cuts_file: Path = typer.Argument(..., metavar="CUTS", help="A lhotse cut manifest (cuts.jsonl.gz)."),
    allow_commands: bool = ALLOW_COMMANDS,
) -> Corpus:
    """Any corpus that lhotse can read: tasks and splits by what its cuts say."""
    from hra_cli.data.corpora.cuts import cuts_corpus

    return cuts_corpus(cuts_file, allow_commands)


@source(app, "folder")
def folder(
    corpus_dir: Path = typer.Argument(..., help="Has a folder for every speaker, or train, dev and test with those."),
) -> Corpus:
    """Recordings with their texts beside them: SPEAKER/x.wav with x.txt or x.lab, or LibriSpeech's *.trans.txt."""
    from hra_cli.data.corpora.speaker_folders import folder_corpus

    return folder_corpus(corpus_dir)


@source(app, "shar")
def shar(
    folders: list[Path] = typer.Argument(
        ..., metavar="DIR…", help="One with cuts.000000.jsonl.gz and so on; or several as splits: train=DIR test=DIR."
    ),
) -> Corpus:
    """lhotse's Shar archives. The audio stays in their tar files; cuts without audio keep the features they have."""
    from hra_cli.data.corpora.shar import shar_corpus

    return shar_corpus(folders)
