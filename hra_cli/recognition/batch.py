"""Decoding: a recogniser from files, and cuts to recognised words."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from lhotse import CutSet

from hra_cli.adapter import Adapter, Controller
from hra_cli.adapter.head_file import Head, adapter_from_heads, read_controller, read_head
from hra_cli.adapter.head_folder import MAX_HEADS, head_folder
from hra_cli.backbone import load_backbone
from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.commands.progress import progress_bar
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError, did_you_mean
from hra_cli.experiment.config import load_config
from hra_cli.experiment.folder import experiment_controller
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.wer import Utterance
from hra_cli.transducer.search import SearchOptions


def load_recogniser(
    backbone: Path,
    exp_dir: Optional[Path] = None,
    heads_dir: Optional[Path] = None,
    heads: Optional[list[Path]] = None,
    tasks: Optional[list[str]] = None,
    controller: Optional[Path] = None,
    max_heads: int = MAX_HEADS,
    pos_head_dim: int = 4,
    chunk_size: Optional[int] = None,
    left_context_frames: Optional[int] = None,
    precision: str = "float32",
) -> Recogniser:
    """The recogniser in `backbone` with the heads of an experiment, of a folder of head files, or of single head
    files; with none of them, frozen.

    tasks: which heads, None for all that are there. controller: for head files that bundle none. max_heads: of an
    experiment or folder, how many are in memory at a time; they are read when a batch needs them.
    Raises HraError for a head that cannot be applied.
    """
    if sum(map(bool, (exp_dir, heads_dir, heads))) > 1:
        raise HraError("give one of --exp-dir, --heads and --head")
    model = load_backbone(
        backbone,
        pos_head_dim=pos_head_dim,
        chunk_size=chunk_size,
        left_context_frames=left_context_frames,
        precision=precision,
    )
    tokenizer = Tokenizer(find_bpe_model(backbone))
    if exp_dir is not None:
        heads_dir = _experiment_folder(exp_dir)
        shared: Optional[Controller] = experiment_controller(exp_dir, model.fingerprint)
    else:
        shared = None if controller is None else read_controller(controller, model.fingerprint)
    belongs_to = (model.fingerprint, model.width, tokenizer.fingerprint)
    adapter: Optional[Adapter] = None
    if heads_dir is not None:
        adapter = head_folder(heads_dir, *belongs_to, tasks, shared, max_heads)
    elif heads:
        adapter = adapter_from_heads(_named([read_head(file) for file in heads], tasks), *belongs_to, shared)
    return Recogniser(model, tokenizer, adapter)


def _experiment_folder(exp_dir: Path) -> Path:
    load_config(exp_dir)
    folder = exp_dir / "heads"
    if not folder.is_dir():
        raise HraError(f"{exp_dir} has no heads yet; they appear after the first epoch of `hra train`")
    return folder


def _named(heads: list[Head], tasks: Optional[list[str]]) -> list[Head]:
    known = {head.task for head in heads}
    for task in tasks or ():
        if task not in known:
            raise HraError(f"no head for task '{task}' among the head files{did_you_mean(task, known)}")
    return [head for head in heads if tasks is None or head.task in tasks]


@dataclass(frozen=True)
class Decoded:
    """What was recognised, in how many seconds of audio, and how many seconds it took: all but loading the
    recogniser."""

    utterances: list[Utterance]
    audio_seconds: float
    seconds: float

    @property
    def real_time_factor(self) -> float:
        """Seconds for a second of audio."""
        return self.seconds / self.audio_seconds if self.audio_seconds else 0.0

    def speed_as_json(self) -> dict[str, float]:
        """`{"audio_seconds", "seconds", "real_time_factor"}`, rounded."""
        return {
            "audio_seconds": round(self.audio_seconds, 2),
            "seconds": round(self.seconds, 2),
            "real_time_factor": round(self.real_time_factor, 4),
        }


def decode_with_progress(
    recogniser: Recogniser,
    cuts: CutSet,
    method: str,
    options: SearchOptions,
    max_duration: float,
    num_workers: int = 0,
) -> Decoded:
    """All utterances, under a progress bar that counts them."""
    audio_seconds = sum(cut.duration for cut in cuts)
    started = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task("decoding", total=len(cuts), note="")
        utterances: list[Utterance] = []
        for batch in recogniser.decode(cuts, method, options, max_duration, num_workers):
            utterances += batch
            bar.advance(task, len(batch))
    return Decoded(utterances, audio_seconds, time.monotonic() - started)


def for_task(cuts: CutSet, recogniser: Recogniser, task: Optional[str]) -> CutSet:
    """Loose audio given to one task's head: the named one, or the only one there is."""
    if recogniser.adapter is None:
        return cuts
    known = recogniser.adapter.tasks
    if task is None and len(known) > 1:
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise HraError(f"several heads are there ({shown}); say with --task which one the audio is for")
    for cut in cuts:
        cut.custom = {**(cut.custom or {}), "task": task or known[0]}
    return cuts
