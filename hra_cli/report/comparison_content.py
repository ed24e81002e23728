"""What there is to report of a comparison folder of `hra compare`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from hra_cli.baselines.methods import hra_kinds, kinds
from hra_cli.comparison.comparison_file import COMPARISON_NAME, read_comparison_file
from hra_cli.errors import HraError
from hra_cli.experiment.metrics import METRICS_NAME, read_metrics
from hra_cli.report.content import (
    ABLATION,
    BASELINE,
    FROZEN,
    HRA,
    Content,
    Curve,
    Decoding,
    Difference,
    Differences,
    Growth,
    Line,
    Missing,
    Point,
    Series,
    Table,
    WerTable,
    number,
    train_loss,
)
from hra_cli.scoring.results import read_recogs, result_files


def family_of(method: str) -> str:
    """What a method's lines and bars are coloured as; one that is not known here is a baseline."""
    if method in hra_kinds():
        return HRA
    return ABLATION if method.startswith("hra-") and method in kinds() else BASELINE


def _in_order() -> list[str]:
    """The methods in the order in which they are shown."""
    return [name for family in (HRA, ABLATION, BASELINE) for name in kinds() if family_of(name) == family]


@dataclass(frozen=True)
class Cell:
    """One trained and tested method of comparison.json, by its names there. mode: multi or single."""

    method: str
    label: str
    size: Optional[int]
    mode: str
    seed: int
    lr: float
    lrs: list[dict[str, Any]]
    parameters_per_task: int
    parameters_shared: int
    parameters_in_all: int
    trainable: int
    wer: float
    low: float
    high: float
    errors: int
    words: int
    tasks: dict[str, dict[str, Any]]
    dev: dict[str, Any]
    seconds: float
    steps: int
    epochs: int
    peak_memory_mib: Optional[float]
    folder: str

    @property
    def family(self) -> str:
        """What it is coloured as."""
        return family_of(self.method)


def read_comparison(exp_dir: Path) -> Content:
    """The content of a comparison's report.

    Raises HraError for a comparison.json that is damaged or of another version, and for damaged files beside it.
    """
    file = exp_dir / COMPARISON_NAME
    found = read_comparison_file(exp_dir)
    try:
        return _content(exp_dir, found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        raise HraError(f"{file} is damaged ({detail}); run `hra compare` again") from error


def _content(exp_dir: Path, found: dict[str, Any]) -> Content:
    names = [field.name for field in dataclasses.fields(Cell)]
    cells = [Cell(**{name: record[name] for name in names}) for record in found["cells"]]
    if not cells:
        raise HraError(f"{exp_dir / COMPARISON_NAME} has no results yet; let `hra compare` finish")
    order = [*_in_order(), *(cell.method for cell in cells)]
    cells.sort(key=lambda cell: (order.index(cell.method), cell.size or 0, cell.label, cell.mode, cell.seed))
    groups = _by_method_and_mode(cells)
    multi = {label: same for (label, mode), same in groups.items() if mode == "multi"}
    tasks = list(found["tasks"])
    frozen, test, command = found["frozen"], found["test"], found["command"]
    families = {cell.label: cell.family for cell in cells}
    best = _best(multi)
    dev_wer, loss = _curves(exp_dir, multi)

    facts = {
        "tasks": f"{len(tasks):,}: {', '.join(tasks[:8])}{', …' if len(tasks) > 8 else ''}",
        "test set": f"{test['utterances']:,} utterances, {test['words']:,} words, {test['decoding_method']}",
        "backbone": f"{found['backbone']['parameters']:,} parameters, frozen",
        "frozen WER": _with_interval(frozen["wer"], frozen["low"], frozen["high"]),
    }
    if best is not None:
        facts[f"best HRA on dev: {best.label}"] = (
            f"{_with_interval(best.wer, best.low, best.high)}, {best.words:,} words, seed {best.seed}"
        )
    return Content(
        title=f"Comparison {exp_dir.resolve().name}",
        facts=facts,
        wer=[
            WerTable(
                f"Test set, {test['decoding_method']}, every method trained on all tasks together",
                tasks,
                [
                    Series("frozen", FROZEN, frozen["wer"], _task_wer([frozen["tasks"]], tasks)),
                    *(_series(label, same, tasks) for label, same in multi.items()),
                ],
                {task: counts["words"] for task, counts in frozen["tasks"].items()},
            )
        ],
        wer_missing=None if multi else Missing("No method was trained on all tasks together yet.", command),
        points=[_point(same, len(tasks)) for same in groups.values()],
        differences=_differences(found["over_seeds"], families),
        growth=Growth(
            found["growth"]["tasks"],
            [
                Line(label, families.get(label, BASELINE), parameters)
                for label, parameters in sorted(
                    found["growth"]["methods"].items(), key=lambda item: [*families, item[0]].index(item[0])
                )
            ],
        ),
        growth_note="What is shared is counted once, what a task adds as often as there are tasks.",
        dev_wer=dev_wer,
        train_loss=loss,
        curves_missing=None if dev_wer else Missing(f"No {METRICS_NAME} of a multi-task cell is there.", command),
        decoding=_decoding(exp_dir, best, test["decoding_method"], command),
        cells=_all_cells(cells, tasks),
        commands=[command],
        versions={
            "hra": found["hra_version"],
            "seeds": ", ".join(map(str, sorted({cell.seed for cell in cells}))),
            **{name: str(value) for name, value in found["machine"].items()},
            "backbone": found["backbone"]["path"],
            "backbone fingerprint": found["backbone"]["fingerprint"],
            "data": found["data"],
        },
        config=found["config"],
    )


def _by_method_and_mode(cells: list[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """The cells, one per seed, of every label and mode."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.label, cell.mode), []).append(cell)
    return groups


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _series(label: str, same: list[Cell], tasks: list[str]) -> Series:
    total = 100.0 * sum(cell.errors for cell in same) / max(sum(cell.words for cell in same), 1)
    return Series(label, same[0].family, total, _task_wer([cell.tasks for cell in same], tasks))


def _task_wer(counts: list[dict[str, dict[str, Any]]], tasks: list[str]) -> dict[str, Optional[float]]:
    """Of every task, with the errors of all seeds over the words of all seeds."""
    wer: dict[str, Optional[float]] = {}
    for task in tasks:
        there = [one[task] for one in counts if task in one]
        words = sum(one["words"] for one in there)
        wer[task] = 100.0 * sum(one["errors"] for one in there) / words if words else None
    return wer


def _point(same: list[Cell], tasks: int) -> Point:
    return Point(
        label=same[0].label,
        family=same[0].family,
        multi_task=same[0].mode == "multi",
        parameters=same[0].parameters_in_all / tasks,
        wer=_mean([cell.wer for cell in same]),
        low=_mean([cell.low for cell in same]),
        high=_mean([cell.high for cell in same]),
        seeds=len(same),
    )


def _differences(over_seeds: list[dict[str, Any]], families: dict[str, str]) -> list[Differences]:
    """The differences of every mode that has more than one method."""
    found = []
    for mode in ("multi", "single"):
        records = [record for record in over_seeds if record["mode"] == mode]
        rows = [
            Difference(
                record["label"],
                families.get(record["label"], BASELINE),
                record["seeds"],
                record["wer"],
                *(record[name] for name in ("difference", "low", "high")),
            )
            for record in records[1:]
        ]
        if rows:
            found.append(Differences(records[0]["label"], mode == "multi", rows))
    return found


def _best(multi: dict[str, list[Cell]]) -> Optional[Cell]:
    """The HRA cell with the fewest errors on dev, on a tie the smallest; ablations only where there is nothing else."""
    cells = [cell for same in multi.values() for cell in same]
    own = [cell for cell in cells if cell.family == HRA] or [cell for cell in cells if cell.family == ABLATION]
    return min(own, key=lambda cell: (cell.dev["errors"], cell.parameters_in_all, cell.seed), default=None)


def _curves(exp_dir: Path, multi: dict[str, list[Cell]]) -> tuple[list[Curve], list[Curve]]:
    """Dev WER and training loss of every multi-task method, of its first seed."""
    dev_wer, loss = [], []
    for label, same in multi.items():
        records = read_metrics(exp_dir / same[0].folder)
        dev = [(record["step"], record["wer_total"]) for record in records if record["kind"] == "dev"]
        if dev:
            dev_wer.append(Curve(label, same[0].family, dev))
        if train_loss(records):
            loss.append(Curve(label, same[0].family, train_loss(records)))
    return dev_wer, loss


def _decoding(exp_dir: Path, best: Optional[Cell], method: str, command: str) -> Decoding | Missing:
    if best is None:
        return Missing("No HRA method was trained on all tasks together yet.", command)
    file = result_files(exp_dir / best.folder, "test", method).recogs
    if not file.is_file():
        return Missing(f"{best.folder}/{file.name} is not there.", command)
    return Decoding(
        f"Test set, {best.label}, multi-task, seed {best.seed}, {method}: the HRA cell with the fewest errors on dev",
        read_recogs(file),
    )


def _all_cells(cells: list[Cell], tasks: list[str]) -> Table:
    columns = [
        "method", "mode", "size", "seed", "lr", "parameters per task", "shared", "in all", "trainable", "WER %",
        "95 % interval", "errors", "words", *(f"{task} WER %" for task in tasks), "dev WER %", "dev errors",
        "dev words", "steps", "epochs", "seconds", "peak memory MiB", "learning rates: dev errors, loss", "folder",
    ]  # fmt: skip
    rows = []
    for cell in cells:
        wer = _task_wer([cell.tasks], tasks)
        tried = "; ".join(f"{one['lr']:g}: {one['dev_errors']}, {number(one['dev_loss'], 1)}" for one in cell.lrs)
        rows.append(
            [
                cell.label, cell.mode, "–" if cell.size is None else str(cell.size), str(cell.seed), f"{cell.lr:g}",
                *(f"{n:,}" for n in (cell.parameters_per_task, cell.parameters_shared)),
                *(f"{n:,}" for n in (cell.parameters_in_all, cell.trainable)),
                number(cell.wer), f"{number(cell.low, 1)}–{number(cell.high, 1)}", f"{cell.errors:,}",
                f"{cell.words:,}", *(number(wer[task]) for task in tasks), number(cell.dev["wer"]),
                f"{cell.dev['errors']:,}", f"{cell.dev['words']:,}", f"{cell.steps:,}", f"{cell.epochs:,}",
                number(cell.seconds, 1), number(cell.peak_memory_mib, 0), tried, cell.folder,
            ]
        )  # fmt: skip
    return Table(columns, rows, text=(0, 1, len(columns) - 2, len(columns) - 1))


def _with_interval(wer: float, low: float, high: float) -> str:
    return f"{number(wer)} % ({number(low, 1)}–{number(high, 1)})"
