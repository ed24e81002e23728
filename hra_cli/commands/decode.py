"""`hra decode`: prepared data to scores, or audio files to text."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from hra_cli.backbone.options import BackboneOptions
from hra_cli.commands import options
from hra_cli.commands.given import refuse_useless
from hra_cli.commands.terminal import say
from hra_cli.errors import HraError
from hra_cli.io.plain_text import plain
from hra_cli.io.writable import check_file
from hra_cli.recognition.audio_options import CHANNELS, FORMATS, SEGMENTS, AudioOptions
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.endpoint import EndpointRules
from hra_cli.transducer.search_options import SearchOptions

if TYPE_CHECKING:
    from rich.progress import Progress

    from hra_cli.data.skipped import Skipped
    from hra_cli.recognition.batch import Decoded
    from hra_cli.recognition.transcript import Transcript

# The options of SearchOptions that one search has.
SEARCH_OPTIONS = {
    "modified_beam_search": ("beam_size",),
    "fast_beam_search": ("beam", "max_contexts", "max_states"),
}


def decode(
    context: typer.Context,
    audio: Optional[list[Path]] = typer.Argument(None, help="Audio files; instead of --data."),
    backbone: Path = options.BACKBONE,
    data: Optional[Path] = typer.Option(DecodeConfig.data, help=options.DATA.help),
    split: str = options.SPLIT,
    task: Optional[list[str]] = typer.Option(None, help="Task to decode; repeatable. Default: all in --data."),
    exp_dir: Optional[Path] = typer.Option(DecodeConfig.exp_dir, help="Experiment whose heads to use."),
    heads: Optional[Path] = typer.Option(
        DecodeConfig.heads_dir, help="Folder whose heads to use, TASK.safetensors each, or a pack of heads."
    ),
    head: Optional[list[Path]] = typer.Option(None, help="Head file to use; repeatable."),
    controller: Optional[Path] = typer.Option(
        DecodeConfig.controller, help="Controller for head files that bundle none."
    ),
    max_heads: int = typer.Option(DecodeConfig.max_heads, help="Heads of --heads or --exp-dir in memory at a time."),
    unknown_tasks: Optional[str] = typer.Option(
        DecodeConfig.unknown_tasks,
        help="Whose head serves tasks that have none: common, or any other. Default: such a task is refused.",
    ),
    no_heads: bool = typer.Option(DecodeConfig.no_heads, "--no-heads", help="Decode with the frozen model alone."),
    decoding_method: str = options.DECODING_METHOD,
    beam_size: int = typer.Option(SearchOptions.beam_size, help="modified_beam_search: hypotheses kept."),
    beam: float = typer.Option(SearchOptions.beam, help="fast_beam_search: beam in log probability."),
    max_contexts: int = typer.Option(SearchOptions.max_contexts, help="fast_beam_search: contexts kept a frame."),
    max_states: int = typer.Option(SearchOptions.max_states, help="fast_beam_search: states kept a frame."),
    max_duration: float = typer.Option(DecodeConfig.max_duration, help=options.MAX_DURATION.help),
    pos_head_dim: int = options.POS_HEAD_DIM,
    chunk_size: Optional[int] = options.CHUNK_SIZE,
    left_context_frames: Optional[int] = options.LEFT_CONTEXT_FRAMES,
    precision: str = options.PRECISION,
    device: str = options.DEVICE,
    output_dir: Optional[Path] = typer.Option(
        DecodeConfig.output_dir,
        help="Where recogs-, errs- and wer-summary- go (default: below --exp-dir, by method), or a file for each audio "
        "file.",
    ),
    json_file: Optional[Path] = typer.Option(
        None, "--json", help="Write the scores of --data here too, and its texts with tokens and times."
    ),
    format: str = options.choice(AudioOptions.format, FORMATS, "Audio files: how texts are given"),
    channels: str = options.choice(AudioOptions.channels, CHANNELS, "Audio files: what stereo becomes"),
    segment: str = options.choice(AudioOptions.segment, SEGMENTS, "Audio files: what is recognised at once"),
    tasks_from: Optional[Path] = typer.Option(
        AudioOptions.tasks_from, help="Table with the columns file and task, CSV or TSV: which head each file is for."
    ),
    num_workers: int = typer.Option(DecodeConfig.num_workers, help=options.NUM_WORKERS.help),
    cluster: Optional[str] = options.CLUSTER,
    streaming: bool = typer.Option(
        DecodeConfig.streaming, "--streaming", help="Causal models: chunk by chunk, as if it were being spoken."
    ),
    microphone: bool = typer.Option(
        DecodeConfig.microphone, "--microphone", help="Causal models: recognise what is being spoken, until Ctrl-C."
    ),
    rule1_min_trailing_silence: float = typer.Option(
        EndpointRules.rule1_min_trailing_silence, help="--microphone: seconds of silence that end an utterance."
    ),
    rule2_min_trailing_silence: float = typer.Option(
        EndpointRules.rule2_min_trailing_silence, help="--microphone: seconds of silence that end one after words."
    ),
    rule3_min_utterance_length: float = typer.Option(
        EndpointRules.rule3_min_utterance_length, help="--microphone: seconds after which an utterance ends."
    ),
) -> None:
    """Decode prepared data, audio files or a microphone, every utterance with its own task's head."""
    endpoint_rules = EndpointRules(rule1_min_trailing_silence, rule2_min_trailing_silence, rule3_min_utterance_length)
    if audio or tasks_from:
        refuse_useless(context, "on audio files; use --format json", "json_file")
        refuse_useless(context, "on audio files", "split")
    else:
        refuse_useless(context, "without audio files", "format", "channels", "segment")
    if microphone:
        refuse_useless(context, "with --microphone", "split", "json_file", "max_duration", "num_workers", "streaming")
    else:
        refuse_useless(context, "without --microphone", *(field.name for field in fields(EndpointRules)))
    if head or no_heads:
        refuse_useless(context, f"with {'--head' if head else '--no-heads'}", "max_heads")
    for method, names in SEARCH_OPTIONS.items():
        if decoding_method != method:
            refuse_useless(context, f"with --decoding-method {decoding_method}", *names)
    config = DecodeConfig(
        backbone=backbone,
        data=data,
        audio=tuple(audio or ()),
        split=split,
        tasks=tuple(task or ()),
        exp_dir=exp_dir,
        heads_dir=heads,
        heads=tuple(head or ()),
        controller=controller,
        max_heads=max_heads,
        unknown_tasks=unknown_tasks,
        no_heads=no_heads,
        decoding_method=decoding_method,
        search_options=SearchOptions(beam_size, beam, max_contexts, max_states),
        max_duration=max_duration,
        backbone_options=BackboneOptions(pos_head_dim, chunk_size, left_context_frames, precision, device),
        audio_options=AudioOptions(channels, segment, format, tasks_from),
        output_dir=output_dir,
        cluster=cluster,
        num_workers=num_workers,
        streaming=streaming,
        microphone=microphone,
        endpoint_rules=endpoint_rules,
    )
    if microphone:
        _decode_microphone(config)
        return
    if json_file is not None:
        check_file(json_file)  # now, not after the work
    if config.data is None:
        _decode_audio(config)
    else:
        _decode_data(config, json_file)


def _decode_data(config: DecodeConfig, json_file: Optional[Path]) -> None:

    from hra_cli.commands.progress import audio_bar
    from hra_cli.commands.tables import PlainConsole
    from hra_cli.commands.wer_tables import wer_table
    from hra_cli.recognition.decode import DecodedData, decode_data

    console = PlainConsole()

    def show(found: DecodedData) -> None:
        bar.close()
        frozen = ", frozen model" if config.no_heads else ""
        console.print(wer_table(found.scores, f"{config.split}, {config.decoding_method}{frozen}"))
        for line in _speed(found.decoded):
            console.print(line, soft_wrap=True)
        _write_json(json_file, found.as_json())

    with contextlib.ExitStack() as bar:
        progress = bar.enter_context(audio_bar())
        found = decode_data(config, _note, progress, show)
    if found.files is not None:
        files = found.files
        console.print(f"results: {files.recogs}, {files.errs}, {files.wer_summary}", soft_wrap=True)
        if files.recogs.parent.parent == config.exp_dir:
            folder = shlex.quote(str(config.exp_dir))
            console.print(f"to look at them: hra report {folder} --output report.html", soft_wrap=True)


def _decode_audio(config: DecodeConfig) -> None:
    from hra_cli.commands.progress import audio_bar
    from hra_cli.recognition.decode_audio import decode_audio
    from hra_cli.recognition.formats import json_line

    form = config.audio_options.format

    def show(transcript: Transcript, written: Optional[Path]) -> None:
        with _without(progress):
            _show(transcript, written, form)

    with audio_bar() as progress:
        found = decode_audio(config, progress, show, _note)
    if found.transcripts:
        for line in _speed(found.decoded):
            say(line, error=True)  # so that standard output is the texts alone
    if form == "json" and config.output_dir is None:
        for one in found.unreadable:
            say(json_line({"file": one.id, "error": one.detail}))
    _refuse(found.unreadable, found.files)


def _note(message: str) -> None:
    say(message, error=True)


def _show(transcript: Transcript, written: Optional[Path], form: str) -> None:
    from hra_cli.recognition.formats import lines_of

    channel = () if transcript.channel is None else (transcript.channel,)
    if written is not None:
        say(transcript.file, *channel, written)
    elif form == "txt":
        say(transcript.file, *channel, transcript.text)
    else:
        for line in lines_of(transcript, form):
            say(line)


@contextlib.contextmanager
def _without(progress: Progress) -> Iterator[None]:
    """Takes the bar off the terminal for the block, so that a line of any length stays one line."""
    shown = progress.live.is_started and progress.console.is_terminal
    if shown:
        progress.live.transient = True
        progress.stop()
    yield
    if shown:
        progress.live.transient = False
        progress.start()


def _decode_microphone(config: DecodeConfig) -> None:
    from rich.live import Live
    from rich.text import Text

    from hra_cli.commands.tables import PlainConsole
    from hra_cli.recognition.decode import decode_microphone

    heard = decode_microphone(config, _note)
    say("listening; Ctrl-C ends", error=True)
    with contextlib.suppress(KeyboardInterrupt), Live(console=PlainConsole(stderr=True), transient=True) as line:
        for one in heard:
            line.update(Text("" if one.ended else plain(one.text)))
            if one.ended:
                say(one.text)


def _refuse(unreadable: list[Skipped], files: int) -> None:
    """Names the files that cannot be read, and raises HraError where there are some."""
    if len(unreadable) == 1 == files:
        raise HraError(unreadable[0].detail)
    for one in unreadable:
        say(one.detail, error=True)
    if unreadable:
        raise HraError(f"{len(unreadable)} of {files} audio files cannot be read; they are named above")


def _speed(decoded: Decoded) -> list[str]:
    speed = (
        f"{decoded.audio_seconds:.1f} s of audio in {decoded.seconds:.1f} s: "
        f"real-time factor {decoded.real_time_factor:.4f}"
    )
    if decoded.latency is None:
        return [speed]
    one = decoded.latency
    return [
        speed,
        f"latency: up to {one.algorithmic:.2f} s until a chunk is there; then {1000 * one.median:.1f} ms of computing "
        f"(95 %: {1000 * one.percentile_95:.1f} ms)"
        + ("" if one.streams == 1 else f" for up to {one.streams} streams together, longer than one listener waits"),
    ]


def _write_json(file: Optional[Path], content: dict[str, Any]) -> None:
    import json

    from hra_cli.io.files import write_text

    if file is not None:
        write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
