"""`hra decode`: prepared data to scores, or audio files to text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import typer
from lhotse import CutSet
from rich.console import Console

from hra_cli.adapter.head_folder import MAX_HEADS
from hra_cli.backbone.options import BackboneOptions
from hra_cli.commands import options
from hra_cli.commands.progress import progress_bar
from hra_cli.commands.wer_tables import wer_table
from hra_cli.data.batches import audio_file_cuts
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError
from hra_cli.io.files import write_text
from hra_cli.recognition.batch import Decoded, decode_cuts, for_task
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.results import write_results
from hra_cli.scoring.wer import score
from hra_cli.transducer.search import check_method
from hra_cli.transducer.search_options import SearchOptions


def decode(
    audio: Optional[list[Path]] = typer.Argument(None, help="Audio files; instead of --data."),
    backbone: Path = options.BACKBONE,
    data: Optional[Path] = typer.Option(None, help="Folder that `hra prepare` has made."),
    split: str = typer.Option("test", help="train, dev or test."),
    task: Optional[list[str]] = typer.Option(None, help="Task to decode; repeatable. Default: all in --data."),
    exp_dir: Optional[Path] = typer.Option(None, help="Experiment whose heads to use."),
    heads: Optional[Path] = typer.Option(None, help="Folder whose heads to use, TASK.safetensors each."),
    head: Optional[list[Path]] = typer.Option(None, help="Head file to use; repeatable."),
    controller: Optional[Path] = typer.Option(None, help="Controller for head files that bundle none."),
    max_heads: int = typer.Option(MAX_HEADS, help="Heads of --heads or --exp-dir in memory at a time."),
    no_heads: bool = typer.Option(False, "--no-heads", help="Decode with the frozen model alone."),
    decoding_method: str = typer.Option(
        "greedy_search", help="greedy_search, modified_beam_search or fast_beam_search."
    ),
    beam_size: int = typer.Option(4, help="modified_beam_search: hypotheses kept."),
    beam: float = typer.Option(20.0, help="fast_beam_search: beam in log probability."),
    max_contexts: int = typer.Option(8, help="fast_beam_search: contexts kept a frame."),
    max_states: int = typer.Option(64, help="fast_beam_search: states kept a frame."),
    max_duration: float = typer.Option(200.0, help="Seconds of audio in a batch."),
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[int] = options.CHUNK_SIZE,
    left_context_frames: Optional[int] = options.LEFT_CONTEXT_FRAMES,
    precision: str = options.PRECISION,
    device: str = options.DEVICE,
    output_dir: Optional[Path] = typer.Option(
        None, help="Where recogs-, errs- and wer-summary- go. Default: below --exp-dir, by method."
    ),
    json_file: Optional[Path] = typer.Option(
        None, "--json", help="Write the scores (or the texts) here too, with tokens and times."
    ),
    num_workers: int = typer.Option(0, help="Processes that read data ahead. 0: a thread does."),
) -> None:
    """Decode prepared data, or audio files, every utterance with its own task's head."""
    check_method(decoding_method)
    if bool(audio) == (data is not None):
        raise HraError("give audio files or --data, one of them")
    if not (no_heads or exp_dir or heads or head):
        raise HraError("give heads with --exp-dir, --heads or --head, or decode the frozen model with --no-heads")
    if no_heads and (heads or head):
        raise HraError(f"give {'--heads' if heads else '--head'} or --no-heads, not both")
    search_options = SearchOptions(beam_size, beam, max_contexts, max_states)
    tasks = task or None
    if data is not None:
        index = load_tasks(data)
        tasks = index.select(tasks) if tasks else index.with_split(split)
        if not task and len(tasks) < len(index.names):
            without = ", ".join(name for name in index.names if name not in tasks)
            typer.echo(f"without a {split} split, not decoded: {without}", err=True)
        cuts = CutSet.from_cuts(cut for name in tasks for cut in index.cuts(name, split))
    else:
        cuts = audio_file_cuts(audio or [])
    recogniser = load_recogniser(
        backbone,
        BackboneOptions(pos_head_dim, chunk_size, left_context_frames, precision, device),
        exp_dir=None if no_heads else exp_dir,
        heads_dir=heads,
        heads=head,
        tasks=tasks,
        controller=controller,
        max_heads=max_heads,
    )
    if data is None:
        _transcribe(cuts, recogniser, tasks, decoding_method, search_options, max_duration, num_workers, json_file)
        return
    with progress_bar() as progress:
        decoded = decode_cuts(recogniser, cuts, decoding_method, search_options, max_duration, num_workers, progress)
    scores = score(decoded.utterances)
    console = Console()
    console.print(wer_table(scores, f"{split}, {decoding_method}{', frozen model' if no_heads else ''}"))
    if output_dir is None and exp_dir is not None:
        output_dir = exp_dir / decoding_method
    if output_dir is not None:
        files = write_results(
            output_dir, split, decoding_method + ("-no-heads" if no_heads else ""), decoded.utterances
        )
        console.print(f"results: {files.recogs}, {files.errs}, {files.wer_summary}", soft_wrap=True)
        if output_dir.parent == exp_dir:
            console.print(f"to look at them: hra report {exp_dir} --output report.html", soft_wrap=True)
    console.print(_speed(decoded), soft_wrap=True)
    if json_file is not None:
        content = {**scores.as_json(), "speed": decoded.speed_as_json(), "utterances": decoded.utterances_as_json()}
        write_text(json_file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _speed(decoded: Decoded) -> str:
    return (
        f"{decoded.audio_seconds:.1f} s of audio in {decoded.seconds:.1f} s: "
        f"real-time factor {decoded.real_time_factor:.4f}"
    )


def _transcribe(
    cuts: CutSet,
    recogniser: Recogniser,
    tasks: Optional[list[str]],
    method: str,
    search_options: SearchOptions,
    max_duration: float,
    num_workers: int,
    json_file: Optional[Path],
) -> None:
    if tasks and len(tasks) > 1:
        raise HraError("audio files are decoded with one task's head; give one --task")
    cuts = for_task(cuts, recogniser, tasks[0] if tasks else None)
    with progress_bar() as progress:
        decoded = decode_cuts(recogniser, cuts, method, search_options, max_duration, num_workers, progress)
    found = {
        utterance.id: {"text": " ".join(utterance.hyp), "tokens": utterance.tokens, "times": utterance.times}
        for utterance in decoded.utterances
    }
    for cut in cuts:
        typer.echo(f"{cut.id}\t{found[cut.id]['text']}")
    typer.echo(_speed(decoded), err=True)  # so that standard output is the texts alone
    if json_file is not None:
        write_text(json_file, json.dumps({cut.id: found[cut.id] for cut in cuts}, ensure_ascii=False, indent=2) + "\n")
