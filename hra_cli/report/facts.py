"""What a path is: a head, a controller, a recogniser, prepared data or an experiment, and the facts about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hra_cli.adapter.head_file import CONTROLLER_FORMAT, HEAD_FORMAT, read_controller, read_head
from hra_cli.adapter.head_folder import list_heads
from hra_cli.adapter.head_kinds import head_kind
from hra_cli.adapter.head_pack import PACK_FORMAT, HeadPack
from hra_cli.backbone.checkpoint import find_checkpoint
from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.comparison.comparison_file import COMPARISON_NAME, read_comparison_file
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.task_index import INDEX_NAME, load_tasks
from hra_cli.data.transcripts import text_done
from hra_cli.errors import HraError
from hra_cli.experiment.config import CONFIG_NAME, load_config
from hra_cli.experiment.folder import experiment_heads
from hra_cli.experiment.metrics import dev_records
from hra_cli.io.few_rows import few_of
from hra_cli.io.tensors import read_metadata


@dataclass
class Description:
    """kind: in a few words. facts: by name. rows under columns: one per part (stack, task, head)."""

    kind: str
    facts: dict[str, str]
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def describe(path: Path, pos_head_dim: int = BackboneOptions.pos_head_dim) -> Description:
    """The facts about what is at `path`. Raises HraError where it is nothing that hra knows."""
    path = located(path)
    if not path.exists():
        raise HraError(f"no such file or folder: {path}")
    if path.is_dir():
        if (path / INDEX_NAME).is_file():
            return _describe_data(path)
        if (path / CONFIG_NAME).is_file():
            return _describe_experiment(path)
        if (path / COMPARISON_NAME).is_file():
            return _describe_comparison(path)
        return _describe_backbone(path, pos_head_dim)
    if path.suffix == ".safetensors":
        file_format = read_metadata(path).get("format")
        if file_format == HEAD_FORMAT:
            return _describe_head(path)
        if file_format == PACK_FORMAT:
            return _describe_pack(path)
        if file_format == CONTROLLER_FORMAT:
            return _describe_controller(path)
    return _describe_backbone(path, pos_head_dim)


def _describe_head(path: Path) -> Description:
    head = read_head(path)
    facts = {
        "task": head.task,
        **({"for": "tasks that have no head"} if head.is_common else {}),
        "head": f"{head.kind}, {head.num_parameters:,} parameters, {head.dtype}",
        "sealed": _sealed(path),
        "width": str(head.width),
        "hidden": str(head.hidden),
        **({"inner": str(head.inner)} if head.inner else {}),
        "controller": "bundled" if head.controller else "not bundled: needs the one with this fingerprint",
        "controller fingerprint": head.controller_fingerprint,
        "backbone fingerprint": head.backbone_fingerprint,
        "tokenizer fingerprint": head.tokenizer_fingerprint,
        "training": json.dumps(head.training, ensure_ascii=False),
        "scores": json.dumps(head.scores, ensure_ascii=False),
        **head.other,
        "size": f"{path.stat().st_size:,} bytes",
    }
    return Description("head", facts)


def _describe_pack(path: Path) -> Description:
    pack = HeadPack(path)
    controller = pack.controller()
    first = pack.read(next(iter(pack.tasks)))
    facts = {
        "heads": f"{len(pack.tasks):,}, {first.kind}, {first.num_parameters:,} parameters each, {first.dtype}",
        "width": str(first.width),
        "hidden": str(first.hidden),
        **({"inner": str(first.inner)} if first.inner else {}),
        "controller": f"{sum(parameter.numel() for parameter in controller.parameters()):,} parameters, once for all",
        "controller fingerprint": first.controller_fingerprint,
        "backbone fingerprint": first.backbone_fingerprint,
        "tokenizer fingerprint": first.tokenizer_fingerprint,
        "size": f"{path.stat().st_size:,} bytes",
    }
    rows = [[task, *_before_after(scores)] for task, scores in pack.scores()]
    columns = ["task", "frozen WER %", "with head WER %"]
    return Description("pack of heads", facts, columns, few_of(rows, lambda more: [more, "", ""]))


def _before_after(scores: dict[str, Any]) -> list[str]:
    return ["" if scores.get(name) is None else f"{scores[name]:.2f}" for name in ("wer_before", "wer_after")]


def _sealed(path: Path) -> str:
    if "head_fingerprint" in read_metadata(path):
        return "yes: its contents are what was written"
    return "not sealed: written by an hra that did not seal heads; damage may go unseen, export it again"


def _describe_controller(path: Path) -> Description:
    metadata = read_metadata(path)
    controller = read_controller(path, metadata.get("backbone_fingerprint", ""))
    facts = {
        "width": str(controller.width),
        "hidden": str(controller.hidden),
        "parameters": f"{sum(parameter.numel() for parameter in controller.parameters()):,}",
        "controller fingerprint": metadata.get("controller_fingerprint", ""),
        "backbone fingerprint": metadata.get("backbone_fingerprint", ""),
    }
    return Description("controller", facts)


def _describe_backbone(path: Path, pos_head_dim: int) -> Description:
    file = find_checkpoint(path)
    notes: list[str] = []
    backbone = load_backbone(path, BackboneOptions(pos_head_dim=pos_head_dim, device="cpu"), notes.append)
    sizes = backbone.sizes
    facts = {
        "checkpoint": str(file),
        "parameters": f"{sum(parameter.numel() for parameter in backbone.parameters()):,}",
        "fingerprint": backbone.fingerprint,
        "width": str(sizes.width),
        "streaming": "causal: any chunk size, or full context" if sizes.causal else "no: sees the whole utterance",
        "decoder": f"width {sizes.decoder_dim}, context size {sizes.context_size}",
        "joiner": f"width {sizes.joiner_dim}",
        "vocabulary": f"{sizes.vocab_size} tokens",
        "tokenizer": _tokenizer(path),
        **({"not used": "; ".join(notes)} if notes else {}),
    }
    columns = ["stack", "layers", "downsampling", "width", "feed-forward", "heads", "query", "value", "kernel"]
    rows = [
        [str(value) for value in (number, s.layers, s.downsampling, s.width, s.feedforward, s.heads)]
        + [str(value) for value in (s.query_head_dim, s.value_head_dim, s.kernel)]
        for number, s in enumerate(sizes.stacks)
    ]
    return Description("recogniser", facts, columns, rows)


def _tokenizer(path: Path) -> str:
    try:
        tokenizer = load_tokenizer(path)
        return f"{tokenizer.kind}, {tokenizer.file}, fingerprint {tokenizer.fingerprint}"
    except HraError as error:
        return str(error)


def _describe_data(path: Path) -> Description:
    index = load_tasks(path)
    facts = {
        "tasks": str(len(index.names)),
        "features": index.features,
        "prepared from": json.dumps(index.arguments, ensure_ascii=False),
        **({"text": text_done(index.text)} if index.text else {}),
        "skipped": ", ".join(f"{reason}: {count}" for reason, count in index.skipped.items()) or "nothing",
    }
    rows = [
        [task, split, f"{entry.utterances:,}", f"{entry.seconds / 60:.1f}", f"{entry.words:,}"]
        for task in index.names
        for split, entry in index.splits(task).items()
    ]
    return Description("prepared data", facts, ["task", "split", "utterances", "minutes", "words"], rows)


def _describe_comparison(path: Path) -> Description:
    found = read_comparison_file(path)
    facts = {
        "backbone": found.backbone.path,
        "data": found.data,
        "tasks": ", ".join(found.tasks),
        "test": f"{found.test.utterances} utterances, {found.test.words} words, {found.test.decoding_method}; "
        f"frozen model {found.frozen.wer} %",
        "command": found.command,
    }
    rows = [
        [cell.label, cell.mode, str(cell.seed), f"{cell.parameters_per_task:,}", str(cell.wer)] for cell in found.cells
    ]
    for row in found.onboarding.rows if found.onboarding is not None else ():
        for point in row.points:
            mode = f"onboard, {row.start}, {point.shots}"
            rows.append([row.label, mode, "", f"{row.parameters_per_task:,}", str(point.wer)])
    return Description("comparison", facts, ["method", "mode", "seed", "per task", "test WER %"], rows)


def _describe_experiment(path: Path) -> Description:
    config = load_config(path)
    epochs = [record.epoch for record in dev_records(path)]
    facts = {
        "backbone": config.backbone,
        "data": config.data,
        "method": "onboarding on " + config.controller if config.controller else "joint training",
        **({"heads started from": config.start} if config.start else {}),
        "head": f"{config.head}, hidden {config.hidden}"
        + (f", inner {config.inner}" if head_kind(config.head).has_inner else ""),
        "epochs": f"{max(epochs, default=0)} of {config.num_epochs}",
        "seed": str(config.seed),
        **{name.replace("_", " "): str(value) for name, value in config.chunk_plan.as_json().items()},
    }
    heads = experiment_heads(path) if list_heads(path / "heads") else []  # none before the first epoch
    heads.sort(key=lambda head: head.is_common)
    rows = [
        [
            head.task + (", for tasks that have none" if head.is_common else ""),
            f"{head.num_parameters:,}",
            str(head.training.get("epoch", "")),
            str(head.scores.get("wer_before", "")),
            str(head.scores.get("wer_after", "")),
        ]
        for head in heads
    ]
    return Description("experiment", facts, ["head", "parameters", "epoch", "dev WER % before", "after"], rows)
