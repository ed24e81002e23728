"""Decoding: a recogniser from files, and cuts to recognised words."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from lhotse import CutSet

from hra_cli.adapter.head_file import Head, adapter_from_heads, read_controller, read_head
from hra_cli.backbone import load_backbone
from hra_cli.backbone.checkpoint import find_bpe_model
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError, did_you_mean
from hra_cli.progress import progress_bar
from hra_cli.recogniser import Recogniser
from hra_cli.scoring.wer import Utterance
from hra_cli.training.experiment import experiment_controller, experiment_heads
from hra_cli.transducer.search import SearchOptions


def load_recogniser(
    backbone: Path,
    exp_dir: Optional[Path] = None,
    heads: Optional[list[Path]] = None,
    tasks: Optional[list[str]] = None,
    controller: Optional[Path] = None,
    pos_head_dim: int = 4,
    chunk_size: Optional[int] = None,
    left_context_frames: Optional[int] = None,
    precision: str = "float32",
) -> Recogniser:
    """The recogniser in `backbone` with the heads of an experiment, or of head files; with neither, frozen.

    tasks: which heads, None for all that are there. controller: for head files that bundle none.
    Raises HraError for a head that cannot be applied.
    """
    model = load_backbone(
        backbone,
        pos_head_dim=pos_head_dim,
        chunk_size=chunk_size,
        left_context_frames=left_context_frames,
        precision=precision,
    )
    tokenizer = Tokenizer(find_bpe_model(backbone))
    if exp_dir is None and not heads:
        return Recogniser(model, tokenizer)
    if exp_dir is not None and heads:
        raise HraError("give --exp-dir or --head, not both")
    chosen = experiment_heads(exp_dir, tasks) if exp_dir else _named([read_head(file) for file in heads or ()], tasks)
    shared = None
    if exp_dir is not None:
        shared = experiment_controller(exp_dir, model.fingerprint)
    elif controller is not None:
        shared = read_controller(controller, model.fingerprint)
    adapter = adapter_from_heads(chosen, model.fingerprint, model.width, tokenizer.fingerprint, shared)
    return Recogniser(model, tokenizer, adapter)


def _named(heads: list[Head], tasks: Optional[list[str]]) -> list[Head]:
    known = {head.task for head in heads}
    for task in tasks or ():
        if task not in known:
            raise HraError(f"no head for task '{task}' among the head files{did_you_mean(task, known)}")
    return [head for head in heads if tasks is None or head.task in tasks]


def decode_with_progress(
    recogniser: Recogniser,
    cuts: CutSet,
    method: str,
    options: SearchOptions,
    max_duration: float,
    num_workers: int = 0,
) -> list[Utterance]:
    """All utterances, under a progress bar that counts them."""
    with progress_bar() as bar:
        task = bar.add_task("decoding", total=len(cuts), note="")
        utterances: list[Utterance] = []
        for batch in recogniser.decode(cuts, method, options, max_duration, num_workers):
            utterances += batch
            bar.advance(task, len(batch))
        return utterances


def for_task(cuts: CutSet, recogniser: Recogniser, task: Optional[str]) -> CutSet:
    """Loose audio given to one task's head: the named one, or the only one there is."""
    if recogniser.adapter is None:
        return cuts
    known = recogniser.adapter.tasks
    if task is None and len(known) > 1:
        raise HraError(f"several heads are there ({', '.join(known)}); say with --task which one the audio is for")
    for cut in cuts:
        cut.custom = {**(cut.custom or {}), "task": task or known[0]}
    return cuts
