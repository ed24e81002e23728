"""What there is to report of an experiment folder of `hra train`."""

from __future__ import annotations

import dataclasses
import platform
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import torch

from hra_cli import __version__
from hra_cli.adapter.head_file import Head
from hra_cli.experiment.config import load_config
from hra_cli.experiment.folder import experiment_controller, experiment_heads
from hra_cli.experiment.metrics import METRICS_NAME, DevRecord, loss_curve, read_metrics, wer_curve
from hra_cli.io.tensors import read_metadata
from hra_cli.report.content import (
    FROZEN,
    HRA,
    Content,
    Curve,
    Decoding,
    Growth,
    Line,
    Missing,
    Series,
    WerTable,
    number,
)
from hra_cli.scoring.results import read_recogs, read_wer_summary, result_files
from hra_cli.transducer.names import SEARCHES

GROWTH_TASKS = [1, 10, 100, 1000, 10000]
# Fields of the configuration that decoding shares with training.
DECODED_WITH = ("backbone", "data", "pos_head_dim", "chunk_size", "left_context_frames")


def read_experiment(exp_dir: Path) -> Content:
    """The content of an experiment's report.

    Raises HraError for a folder that is no experiment, has no heads yet, or is damaged.
    """
    config = load_config(exp_dir)
    heads = experiment_heads(exp_dir)
    of_tasks = [head for head in heads if not head.is_common]
    common = ", ".join(head.task for head in heads if head.is_common)
    name = exp_dir.resolve().name  # not the path, so that a moved experiment gives the same report
    controller = experiment_controller(exp_dir, heads[0].backbone_fingerprint)
    controller_parameters = sum(parameter.numel() for parameter in controller.parameters())
    head_parameters = heads[0].num_parameters
    trained_with = dataclasses.asdict(config)
    used_with = {**trained_with, **config.chunk_plan.in_use._asdict()}
    decode = shlex.join(["hra", "decode", "--exp-dir", name, *_options(used_with, DECODED_WITH)])

    dev = _dev_table(of_tasks)
    test = _test_table(exp_dir)
    dev_wer, loss = _curves(exp_dir, [head.task for head in of_tasks])
    metadata = read_metadata(exp_dir / "controller.safetensors")
    train = shlex.join(["hra", "train", "--exp-dir", name, *_options(trained_with, trained_with)])
    return Content(
        title=f"Experiment {name}",
        facts={
            "tasks": f"{len(of_tasks):,}",
            "method": "heads onboarded on a frozen controller" if config.controller else "controller and heads jointly",
            "head": f"{heads[0].kind}, {head_parameters:,} parameters a task",
            **({"head for tasks without one": common} if common else {}),
            "controller": f"{controller_parameters:,} parameters, shared, H = {heads[0].hidden}",
            "WER on dev": f"{number(dev.series[0].total)} % → {number(dev.series[1].total)} %",
        },
        wer=[dev] if test is None else [test, dev],
        wer_missing=_wer_missing(test, decode),
        points=None,
        differences=[],
        growth=Growth(
            GROWTH_TASKS,
            [Line(f"HRA {config.head}", HRA, [controller_parameters + n * head_parameters for n in GROWTH_TASKS])],
        ),
        growth_note=f"The controller's {controller_parameters:,} parameters and {head_parameters:,} for every task.",
        dev_wer=dev_wer,
        train_loss=loss,
        curves_missing=None if dev_wer else Missing(f"{METRICS_NAME} has no scores; training writes them.", train),
        decoding=_decoding(exp_dir) or Missing("The test set is not decoded with the heads yet.", decode),
        cells=None,
        commands=[train, decode],
        versions={
            "trained with hra": metadata.get("hra_version", "–"),
            "backbone fingerprint": heads[0].backbone_fingerprint,
            "tokenizer fingerprint": heads[0].tokenizer_fingerprint,
            "controller fingerprint": heads[0].controller_fingerprint,
            "report written with": f"hra {__version__}, Python {platform.python_version()}, torch {torch.__version__}",
        },
        config=trained_with,
    )


def _dev_table(heads: list[Head]) -> WerTable:
    words = {head.task: int(head.scores.get("words", 0)) for head in heads}

    def series(label: str, family: str, key: str) -> Series:
        tasks = {head.task: head.scores.get(key) for head in heads}
        errors = sum(wer * words[task] for task, wer in tasks.items() if wer is not None)
        total = errors / sum(words.values()) if sum(words.values()) else None
        return Series(label, family, total, tasks)

    return WerTable(
        "Dev set, greedy_search, as the heads' files have it",
        [head.task for head in heads],
        [series("frozen", FROZEN, "wer_before"), series("with head", HRA, "wer_after")],
        words,
    )


def _test_table(exp_dir: Path) -> Optional[WerTable]:
    """The frozen model and the heads, by every method the test set was decoded with."""
    found = []
    for label, family, ending in (("frozen", FROZEN, "-no-heads"), ("with head", HRA, "")):
        for method in SEARCHES:
            suffix = method + ending
            files = result_files(exp_dir / method, "test", suffix)
            if files.recogs.is_file():
                total, tasks = read_wer_summary(files.wer_summary, suffix)
                found.append(Series(f"{label}, {method}", family, total, dict(tasks)))
    tasks_found = sorted({task for series in found for task in series.tasks})
    return WerTable("Test set", tasks_found, found) if found else None


def _wer_missing(test: Optional[WerTable], decode: str) -> Optional[Missing]:
    families = {series.family for series in test.series} if test else set()
    if HRA not in families:
        return Missing("The test set is not decoded with the heads yet.", decode)
    if FROZEN not in families:
        return Missing("The test set is not decoded with the frozen model yet.", f"{decode} --no-heads")
    return None


def _decoding(exp_dir: Path) -> Optional[Decoding]:
    for method in SEARCHES:
        file = result_files(exp_dir / method, "test", method).recogs
        if file.is_file():
            return Decoding(f"Test set, with the heads, {method}", read_recogs(file))
    return None


def _curves(exp_dir: Path, tasks: list[str]) -> tuple[list[Curve], list[Curve]]:
    """Dev WER of all tasks and of each, and the training loss."""
    records = read_metrics(exp_dir)
    dev = [record for record in records if isinstance(record, DevRecord)]
    wer = [
        Curve("all tasks", HRA, wer_curve(records)),
        *(Curve(task, HRA, [(one.step, one.wer[task]) for one in dev if task in one.wer]) for task in tasks),
    ]
    loss = Curve("all tasks", HRA, loss_curve(records))
    return [curve for curve in wer if curve.points], [loss] if loss.points else []


def _options(config: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The fields of these names, of a TrainConfig, as the command line takes them."""
    words = []
    for name in names:
        option, value = "--" + name.replace("_", "-"), config[name]
        if name == "tasks":
            words += [word for task in value for word in ("--task", task)]
        elif isinstance(value, tuple):
            words += [option, ",".join(map(str, value))]
        elif isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif value is not None:
            words += [option, str(value)]
    return words
