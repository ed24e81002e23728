"""A recogniser from files: backbone, tokenizer and the heads that it is to serve."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Optional

from hra_cli.adapter.adapter import Adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import Head, adapter_from_heads, read_controller, read_head
from hra_cli.adapter.head_folder import HeadFolder
from hra_cli.adapter.head_pack import HeadPack
from hra_cli.adapter.heads_on_disk import HeadSource, check_heads_of, serve_heads
from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.errors import HraError, did_you_mean, nearest
from hra_cli.experiment.folder import experiment_controller, experiment_heads_folder
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.streamed import StreamingRecogniser


def load_recogniser(
    backbone: Path,
    options: BackboneOptions = BackboneOptions(),  # noqa: B008 - frozen
    exp_dir: Optional[Path] = None,
    heads_dir: Optional[Path] = None,
    heads: Optional[list[Path]] = None,
    tasks: Optional[list[str]] = None,
    controller: Optional[Path] = None,
    max_heads: int = DecodeConfig.max_heads,
    unknown_tasks: Optional[str] = None,
) -> Recogniser:
    """The recogniser at `backbone`, see `located`, with the heads of an experiment, of a folder of head files or a
    pack, or of single files; with none of these, the frozen recogniser alone.

    tasks: which heads, None for all that are there. controller: for head files that bundle none. max_heads: of an
    experiment, folder or pack, how many are in memory at a time; they are read when a batch needs them.
    unknown_tasks: whose head serves tasks that have none, None: they are refused.
    Raises HraError for more than one source of heads, for what cannot be read, and for a head that cannot be applied.
    """
    if sum(map(bool, (exp_dir, heads_dir, heads))) > 1:
        raise HraError("give one of --exp-dir, --heads and --head")
    backbone = located(backbone)
    model = load_backbone(backbone, options)
    tokenizer = load_tokenizer(backbone)
    if exp_dir is not None:
        heads_dir = experiment_heads_folder(exp_dir)
        shared: Optional[Controller] = experiment_controller(exp_dir, model.fingerprint)
    else:
        shared = None if controller is None else read_controller(controller, model.fingerprint)
    belongs_to = (model.fingerprint, model.width, tokenizer.fingerprint)
    adapter: Optional[Adapter] = None
    if heads_dir is not None:
        packed = heads_dir.suffix == ".safetensors" and not heads_dir.is_dir()
        source: HeadSource = HeadPack(heads_dir) if packed else HeadFolder(heads_dir)
        tasks = _with_unknown(tasks, unknown_tasks, source.tasks, source.where)
        adapter = serve_heads(source, *belongs_to, tasks, shared, max_heads)
    elif heads:
        found = [read_head(file) for file in heads]
        tasks = _with_unknown(tasks, unknown_tasks, {head.task for head in found}, "among the head files")
        adapter = adapter_from_heads(_named(found, tasks), *belongs_to, shared)
    if adapter is not None:
        adapter.for_unknown_tasks = unknown_tasks
    return Recogniser(model, tokenizer, adapter)


def load_for(config: DecodeConfig, tasks: Optional[list[str]]) -> Recogniser:
    """The recogniser for a decoding, with the heads of `tasks`, None for all. Raises HraError as `load_recogniser`."""
    recogniser = load_recogniser(
        config.backbone,
        config.backbone_options,
        exp_dir=None if config.no_heads else config.exp_dir,
        heads_dir=config.heads_dir,
        heads=list(config.heads) or None,
        tasks=tasks,
        controller=config.controller,
        max_heads=config.max_heads,
        unknown_tasks=config.unknown_tasks,
    )
    return StreamingRecogniser(recogniser) if config.streaming else recogniser


def _with_unknown(
    tasks: Optional[list[str]], unknown: Optional[str], known: Collection[str], where: str
) -> Optional[list[str]]:
    """The tasks whose heads are needed, where the head of task `unknown` serves those that are not `known`."""
    if unknown is None or not known:
        return tasks
    if unknown not in known:
        remedy = did_you_mean(unknown, known)
        if nearest(unknown, known) is None:
            remedy += "; `hra train` of two or more tasks writes one for it, --common-head"
        raise HraError(f"--unknown-tasks: no head '{unknown}' {where}{remedy}")
    return None if tasks is None else list(dict.fromkeys([*(task for task in tasks if task in known), unknown]))


def _named(heads: list[Head], tasks: Optional[list[str]]) -> list[Head]:
    known = {head.task for head in heads}
    check_heads_of(tasks or (), known, "among the head files")
    wanted = known if tasks is None else set(tasks)
    return [head for head in heads if head.task in wanted]
