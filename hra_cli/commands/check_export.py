"""`hra check-export`: an exported folder, run by sherpa-onnx and beside it by hra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from hra_cli.commands import options
from hra_cli.commands.terminal import say
from hra_cli.export.check_config import SEARCHES, CheckConfig
from hra_cli.io.writable import check_file
from hra_cli.transducer.names import SEARCHES as KNOWN_SEARCHES

if TYPE_CHECKING:
    from rich.table import Table

    from hra_cli.export.check_export import Checked

DECODING_METHOD = options.choice(
    CheckConfig.decoding_method, {name: KNOWN_SEARCHES[name] for name in SEARCHES}, "How tokens are searched for"
)
MOST_SHOWN = 20  # differing utterances of a side


def check_export(
    folder: Path = typer.Argument(..., help="Folder that `hra export-onnx` has made."),
    data: Path = options.DATA,
    split: str = options.SPLIT,
    task: Optional[list[str]] = typer.Option(None, help="Task to decode; repeatable. Default: all that are there."),
    no_heads: bool = typer.Option(CheckConfig.no_heads, "--no-heads", help="Decode with the frozen model alone."),
    decoding_method: str = DECODING_METHOD,
    json_file: Optional[Path] = typer.Option(None, "--json", help="Write the scores and all differences here too."),
) -> None:
    """Decode prepared data with sherpa-onnx and with hra: WER of both, texts that differ, speed of both."""
    if json_file is not None:
        check_file(json_file)  # now, not after the work
    check_and_show(CheckConfig(folder, data, split, tuple(task or ()), no_heads, decoding_method), json_file)


def check_and_show(config: CheckConfig, json_file: Optional[Path] = None) -> None:
    """Checks an exported folder and prints what was found."""
    import json

    from hra_cli.commands.progress import progress_bar
    from hra_cli.commands.tables import PlainConsole
    from hra_cli.export.check_export import check_export as check
    from hra_cli.io.files import write_text

    with progress_bar() as progress:
        checked = check(config, lambda message: say(message, error=True), progress)
    console = PlainConsole()
    console.print(_table(checked, config))
    for side in checked.sides:
        differing = checked.differing(side)
        console.print(
            f"{side.name}: {len(differing)} of {len(side.utterances)} texts differ from hra's", soft_wrap=True
        )
        for one, other in differing[:MOST_SHOWN]:
            console.print(f"  {one.id}: hra '{one.text}', {side.name} '{other.text}'", soft_wrap=True)
        if len(differing) > MOST_SHOWN:
            console.print(f"  and {len(differing) - MOST_SHOWN} more; --json has all")
    for side in checked.sides:
        console.print(
            f"{checked.audio_seconds:.1f} s of audio: {side.name} {side.seconds:.1f} s, utterance by utterance; "
            f"hra {checked.hra.seconds:.1f} s, in batches; {side.seconds / checked.hra.seconds:.2f} of hra's time",
            soft_wrap=True,
        )
    if json_file is not None:
        write_text(json_file, json.dumps(checked.as_json(), indent=2, ensure_ascii=False) + "\n")


def _table(checked: Checked, config: CheckConfig) -> Table:
    from rich.table import Table

    from hra_cli.scoring.wer import wer_text

    table = Table("task", title=f"{config.split}, {config.decoding_method}: WER in per cent")
    scores = [side.scores for side in (checked.hra, *checked.sides)]
    table.add_column("words", justify="right")
    for side in (checked.hra, *checked.sides):
        table.add_column(side.name, justify="right")
    for task in scores[0].tasks:
        counts = [one.tasks[task] for one in scores]
        table.add_row(task, f"{counts[0].words:,}", *(wer_text(one.wer) for one in counts))
    table.add_section()
    table.add_row("total", f"{scores[0].total.words:,}", *(wer_text(one.total.wer) for one in scores))
    return table
