"""`hra prepare`: a corpus to a data folder. One subcommand for every kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from hra_cli.commands.options import choice
from hra_cli.commands.source import ALLOW_COMMANDS, source
from hra_cli.commands.subcommands import new_app
from hra_cli.commands.terminal import say
from hra_cli.data.corpora.table_columns import PRESETS, Columns

if TYPE_CHECKING:
    from hra_cli.data.corpus import Corpus

app = new_app("prepare", help="Turn a corpus into a data folder: checked cuts per task and split, and features.")


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


@source(app, "kaldi")
def kaldi(
    folders: list[Path] = typer.Argument(
        ..., metavar="DIR…", help="A data folder of Kaldi's; or several as splits: train=DIR dev=DIR test=DIR."
    ),
    root: Optional[Path] = typer.Option(
        None,
        "--root",
        help="What the paths in wav.scp begin from. Default: the data folder, its parent or the one above, whichever "
        "has the files.",
    ),
    allow_commands: bool = ALLOW_COMMANDS,
) -> Corpus:
    """Kaldi's data folders: wav.scp, segments, text, utt2spk. Other utt2X and spk2X are fields for --task-by X."""
    from hra_cli.data.corpora.kaldi import kaldi_corpus

    return kaldi_corpus(folders, root, allow_commands)


@source(app, "table")
def table(
    files: list[Path] = typer.Argument(
        ..., metavar="FILE…", help="A .csv, .tsv, .jsonl or .parquet table; or several as splits: train=FILE test=FILE."
    ),
    preset: str = choice("none", PRESETS, "What the columns are called and where the audio lies, as in"),
    audio: Optional[str] = typer.Option(None, "--audio", help="The column of audio files."),
    text: Optional[str] = typer.Option(None, "--text", help="The column of transcripts."),
    speaker: Optional[str] = typer.Option(None, "--speaker", help="The column of speakers. Default: speaker."),
    id_: Optional[str] = typer.Option(
        None, "--id", help="The column of utterances' ids. Default: the names of the audio files."
    ),
    start: Optional[str] = typer.Option(
        None, "--start", help="The column that says where one begins in its file, in s."
    ),
    end: Optional[str] = typer.Option(None, "--end", help="The column that says where it ends."),
    audio_dir: Optional[Path] = typer.Option(
        None, "--audio-dir", help="What the names of audio files begin from. Default: the table's folder."
    ),
) -> Corpus:
    """A table of utterances, such as Common Voice's or a spreadsheet. Its other columns are fields for --task-by."""
    from hra_cli.data.corpora.utterance_table import table_corpus

    columns = Columns(audio=audio, text=text, speaker=speaker, id=id_, start=start, end=end)
    return table_corpus(files, columns, audio_dir, preset)


@source(app, "folder")
def folder(
    corpus_dir: Path = typer.Argument(..., help="Has a folder for every speaker, or train, dev and test with those."),
) -> Corpus:
    """Recordings with their texts beside them: SPEAKER/x.wav with x.txt or x.lab, or LibriSpeech's *.trans.txt."""
    from hra_cli.data.corpora.speaker_folders import folder_corpus

    return folder_corpus(corpus_dir)


@source(app, "shar")
def shar(
    archives: list[str] = typer.Argument(
        ...,
        metavar="DIR|URL…",
        help="A folder with cuts.000000.jsonl.gz and so on, or several as splits: train=DIR test=DIR. Or the URLs of "
        "all its files, with a range in braces: https://…/cuts.{000000..000041}.jsonl.gz.",
    ),
    fetch_to: Optional[Path] = typer.Option(
        None, "--fetch-to", help="The folder that files of URLs are copied to, once; they stay there."
    ),
) -> Corpus:
    """lhotse's Shar archives. The audio stays in their tar files; cuts without audio keep the features they have."""
    from hra_cli.commands.progress import progress_bar
    from hra_cli.data.corpora.shar import shar_corpus

    with progress_bar() as progress:
        return shar_corpus(archives, fetch_to, progress)


def _list_recipes(wanted: bool) -> None:
    if wanted:
        from hra_cli.data.corpora.lhotse_recipe import recipe_names

        for name in recipe_names():
            say(name)
        raise typer.Exit


@source(app, "lhotse")
def lhotse(
    name: str = typer.Argument(..., help="A recipe of lhotse's, such as librispeech."),
    corpus_dir: Path = typer.Argument(..., help="The corpus, as that recipe wants it."),
    part: list[str] = typer.Option(
        [], "--part", metavar="SPLIT=PART", help="A part of the corpus that is train, dev or test (repeatable)."
    ),
    option: list[str] = typer.Option(
        [], "--option", metavar="KEY=VALUE", help="A further argument of lhotse's function (repeatable)."
    ),
    allow_commands: bool = typer.Option(
        False, "--allow-commands", help="Let the recipe run shell commands. Only for corpora you trust."
    ),
    list_: bool = typer.Option(
        False, "--list", callback=_list_recipes, is_eager=True, help="Show the names of all recipes, and end."
    ),
) -> Corpus:
    """Any corpus that lhotse has a recipe for. Its parts are splits, or fields for --task-by part."""
    from hra_cli.data.corpora.lhotse_recipe import lhotse_corpus

    return lhotse_corpus(name, corpus_dir, option, part, allow_commands)
