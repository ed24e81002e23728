"""Everything that decides a decoding. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hra_cli.backbone.options import BackboneOptions
from hra_cli.errors import MOST_PROCESSES, MOST_SECONDS, HraError, check_not_negative, check_positive
from hra_cli.recognition.audio_options import CAPTIONS, AudioOptions
from hra_cli.recognition.endpoint import EndpointRules
from hra_cli.transducer.names import check_streams
from hra_cli.transducer.search_options import SearchOptions

_MOST_HEADS = 100_000_000


@dataclass(frozen=True)
class DecodeConfig:
    """Options of `hra decode`.

    data: a prepared folder, of which `split` is decoded; or audio: files. tasks: () for all that have the split.
    exp_dir, heads_dir, heads: where heads come from, one of them, or no_heads for the frozen model. controller: for
    head files that bundle none. max_heads: of a folder or experiment, how many are in memory at a time.
    unknown_tasks: whose head serves tasks that have none, None: they are refused.
    max_duration: seconds of audio in a batch. num_workers: processes that read data ahead; 0: a thread does.
    cluster: where whole utterances of data are decoded instead of here, as `cluster_executor` takes it.
    output_dir: for icefall's result files (None: below exp_dir, by method, and nowhere without one), or for a file of
    each audio file's text (None: nowhere). audio_options: of audio files. streaming: chunk by chunk, as if it were
    being spoken. microphone: what is being spoken, instead of data or audio; endpoint_rules: when an utterance there
    has ended.

    Raises HraError for sizes that are not positive or far beyond use, where data and audio, or heads and no_heads,
    contradict each other, and for what would have no effect.
    """

    backbone: Path
    data: Optional[Path] = None
    audio: tuple[Path, ...] = ()
    split: str = "test"
    tasks: tuple[str, ...] = ()
    exp_dir: Optional[Path] = None
    heads_dir: Optional[Path] = None
    heads: tuple[Path, ...] = ()
    controller: Optional[Path] = None
    max_heads: int = 1024
    unknown_tasks: Optional[str] = None
    no_heads: bool = False
    decoding_method: str = "greedy_search"
    search_options: SearchOptions = SearchOptions()  # noqa: RUF009 - frozen
    max_duration: float = 200.0
    backbone_options: BackboneOptions = BackboneOptions()  # noqa: RUF009 - frozen
    audio_options: AudioOptions = AudioOptions()  # noqa: RUF009 - frozen
    output_dir: Optional[Path] = None
    num_workers: int = 0
    cluster: Optional[str] = None
    streaming: bool = False
    microphone: bool = False
    endpoint_rules: EndpointRules = EndpointRules()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        check_positive(MOST_SECONDS, max_duration=self.max_duration)
        check_positive(_MOST_HEADS, max_heads=self.max_heads)
        check_not_negative(MOST_PROCESSES, num_workers=self.num_workers)
        by_table = self.audio_options.tasks_from is not None
        if [bool(self.audio) or by_table, self.data is not None, self.microphone].count(True) != 1:
            raise HraError("give audio files, --data or --microphone, one of them")
        if self.cluster is not None and (self.data is None or self.streaming):
            raise HraError("--cluster decodes whole utterances of prepared data; leave it out, or give --data")
        if self.streaming or self.microphone:
            self.backbone_options.check_streaming()
            check_streams(self.decoding_method)
        if not (self.no_heads or self.exp_dir or self.heads_dir or self.heads):
            raise HraError("give heads with --exp-dir, --heads or --head, or decode the frozen model with --no-heads")
        if self.no_heads and (self.heads_dir or self.heads):
            raise HraError(f"give {'--heads' if self.heads_dir else '--head'} or --no-heads, not both")
        if self.no_heads and self.unknown_tasks is not None:
            raise HraError("--unknown-tasks has no effect with --no-heads; leave it out")
        if self.controller and (self.exp_dir or self.no_heads):
            raise HraError(
                f"--controller has no effect with {'--no-heads' if self.no_heads else '--exp-dir'}; leave it out"
            )
        if self.no_heads and self.exp_dir and (self.data is None or self.output_dir):
            raise HraError("--exp-dir has no effect with --no-heads but to say where result files go; leave it out")
        if self.data is not None:
            return
        what = "--microphone" if self.microphone else "audio files"
        if self.no_heads and self.tasks:
            raise HraError(f"--task chooses a head, and has no effect on {what} with --no-heads; leave one out")
        if self.output_dir is not None and self.microphone:
            raise HraError("--output-dir has no effect on --microphone; its texts go to standard output")
        if by_table and (self.tasks or self.no_heads):
            other = "--task" if self.tasks else "--no-heads"
            raise HraError(f"--tasks-from says which head each file is decoded with, and {other} too; leave one out")
        form = self.audio_options.format
        if form in CAPTIONS and self.audio_options.channels == "each" and self.output_dir is None:
            raise HraError(f"--format {form} of each channel needs --output-dir, with a file for each")
        if len(self.tasks) > 1:
            raise HraError(f"{what} {'is' if self.microphone else 'are'} decoded with one task's head; give one --task")
