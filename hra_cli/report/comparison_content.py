"""What there is to report of a comparison folder of `hra compare`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Optional, Union, cast

from hra_cli.baselines.methods import hra_kinds, kinds
from hra_cli.comparison.cell_files import SplitScores, TaskScores
from hra_cli.comparison.comparison_file import COMPARISON_NAME, CellRecord, Comparison, OverSeeds, read_comparison_file
from hra_cli.comparison.onboard_records import Onboarding as OnboardingRecord
from hra_cli.comparison.onboard_records import OnboardPoint
from hra_cli.comparison.onboard_table import left_out
from hra_cli.comparison.plan import COMMON
from hra_cli.errors import HraError
from hra_cli.experiment.metrics import METRICS_NAME, loss_curve, read_metrics, wer_curve
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
    Onboarding,
    Point,
    Series,
    ShotsCurve,
    ShotsPoint,
    Table,
    WerTable,
    number,
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


def read_comparison(exp_dir: Path) -> Content:
    """The content of a comparison's report.

    Raises HraError for a comparison.json that is damaged or of another version, and for damaged files beside it.
    """
    found = read_comparison_file(exp_dir)
    if not found.cells and found.onboarding is None:
        raise HraError(f"{exp_dir / COMPARISON_NAME} has no results yet; let `hra compare` finish")
    return _content(exp_dir, found)


def _content(exp_dir: Path, found: Comparison) -> Content:
    cells = list(found.cells)
    order = [*_in_order(), *(cell.method for cell in cells)]
    cells.sort(key=lambda cell: (order.index(cell.method), cell.size or 0, cell.label, cell.mode, cell.seed))
    groups = _by_method_and_mode(cells)
    multi = {label: same for (label, mode), same in groups.items() if mode == "multi"}
    tasks, frozen, test, command = found.tasks, found.frozen, found.test, found.command
    families = {cell.label: family_of(cell.method) for cell in cells}
    if found.onboarding is not None:
        families.update({row.label: family_of(row.method) for row in found.onboarding.rows})
    best = _best(multi)
    dev_wer, loss = _curves(exp_dir, multi)

    def missing(sentence: str) -> Optional[Missing]:
        return Missing(sentence, command) if cells else None  # where there is onboarding alone, nothing is

    facts = {
        "tasks": f"{len(tasks):,}: {', '.join(tasks[:8])}{', …' if len(tasks) > 8 else ''}",
        "test set": f"{test.utterances:,} utterances, {test.words:,} words, {test.decoding_method}",
        "backbone": f"{found.backbone.parameters:,} parameters, frozen",
        "frozen WER": _with_interval(frozen),
    }
    if best is not None:
        facts[f"best HRA on dev: {best.label}"] = f"{_with_interval(best)}, {best.words:,} words, seed {best.seed}"
    return Content(
        title=f"Comparison {exp_dir.resolve().name}",
        facts=facts,
        wer=[_wer_table(found, multi)] if cells else [],
        wer_missing=None if multi else missing("No method was trained on all tasks together yet."),
        points=[_point(same, len(tasks)) for same in groups.values()],
        differences=_differences(found.over_seeds, families),
        growth=Growth(
            list(found.growth.tasks),
            [
                Line(label, families.get(label, BASELINE), parameters)
                for label, parameters in sorted(
                    found.growth.methods.items(), key=lambda item: [*families, item[0]].index(item[0])
                )
            ],
        ),
        growth_note="What is shared is counted once, what a task adds as often as there are tasks.",
        dev_wer=dev_wer,
        train_loss=loss,
        curves_missing=None if dev_wer else missing(f"No {METRICS_NAME} of a multi-task cell is there."),
        decoding=_decoding(exp_dir, best, test.decoding_method, command) if cells else None,
        cells=_all_cells(cells, tasks) if cells else None,
        commands=[command],
        versions={
            "hra": found.hra_version,
            "seeds": ", ".join(map(str, sorted({cell.seed for cell in cells} or {*found.config.seeds}))),
            **{name: str(value) for name, value in found.machine.items()},
            "backbone": found.backbone.path,
            "backbone fingerprint": found.backbone.fingerprint,
            "data": found.data,
        },
        config=json.loads(json.dumps(asdict(found.config))),
        onboarding=None if found.onboarding is None else _onboarding(found.onboarding),
    )


def _wer_table(found: Comparison, multi: dict[str, list[CellRecord]]) -> WerTable:
    tasks, frozen = found.tasks, found.frozen
    return WerTable(
        f"Test set, {found.test.decoding_method}, every method trained on all tasks together",
        tasks,
        [
            Series("frozen", FROZEN, frozen.wer, _task_wer([frozen.tasks], tasks)),
            *(_series(label, same, tasks) for label, same in multi.items()),
        ],
        {task: counts.words for task, counts in frozen.tasks.items()},
    )


def _by_method_and_mode(cells: list[CellRecord]) -> dict[tuple[str, str], list[CellRecord]]:
    """The cells, one per seed, of every label and mode."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        groups.setdefault((cell.label, cell.mode), []).append(cell)
    return groups


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _series(label: str, same: list[CellRecord], tasks: list[str]) -> Series:
    total = 100.0 * sum(cell.errors for cell in same) / max(sum(cell.words for cell in same), 1)
    return Series(label, family_of(same[0].method), total, _task_wer([cell.tasks for cell in same], tasks))


def _task_wer(counts: list[dict[str, TaskScores]], tasks: list[str]) -> dict[str, Optional[float]]:
    """Of every task, with the errors of all seeds over the words of all seeds."""
    wer: dict[str, Optional[float]] = {}
    for task in tasks:
        there = [one[task] for one in counts if task in one]
        words = sum(one.words for one in there)
        wer[task] = 100.0 * sum(one.errors for one in there) / words if words else None
    return wer


def _point(same: list[CellRecord], tasks: int) -> Point:
    return Point(
        label=same[0].label,
        family=family_of(same[0].method),
        multi_task=same[0].mode == "multi",
        parameters=same[0].parameters_in_all / tasks,
        wer=_mean([cell.wer for cell in same]),
        low=_mean([cell.low for cell in same]),
        high=_mean([cell.high for cell in same]),
        seeds=len(same),
    )


def _differences(over_seeds: list[OverSeeds], families: dict[str, str]) -> list[Differences]:
    """The differences of every mode that has more than one method."""
    found = []
    for mode in ("multi", "single"):
        records = [record for record in over_seeds if record.mode == mode]
        rows = [
            Difference(
                one.label, families.get(one.label, BASELINE), one.seeds, one.wer, one.difference, one.low, one.high
            )
            for one in records
            if one.difference is not None and one.low is not None and one.high is not None
        ]
        if rows:
            found.append(Differences(records[0].label, mode == "multi", rows))
    return found


def _onboarding(found: OnboardingRecord) -> Onboarding:
    """In the order of the file, whose first curve is the one that the others are held against."""
    number = sum(map(len, found.folds))
    groups = "together" if len(found.folds) == 1 else f"in {len(found.folds)} groups, one after the other"
    held_out = f"{number:,} tasks were held out {groups}"
    return Onboarding(
        [
            ShotsCurve(
                row.label,
                family_of(row.method),
                row.start == COMMON,
                row.parameters_per_task,
                [_shots_point(point) for point in row.points],
            )
            for row in found.rows
        ],
        ". ".join([held_out, *left_out(found)]) + ".",
    )


def _shots_point(point: OnboardPoint) -> ShotsPoint:
    difference = point.difference, point.difference_low, point.difference_high
    known = None if None in difference else cast(tuple[float, float, float], difference)
    return ShotsPoint(point.shots, point.wer, point.low, point.high, known)


def _best(multi: dict[str, list[CellRecord]]) -> Optional[CellRecord]:
    """The HRA cell with the fewest errors on dev, on a tie the smallest; ablations only where there is nothing else."""
    cells = [cell for same in multi.values() for cell in same]
    by_family = {family: [cell for cell in cells if family_of(cell.method) == family] for family in (HRA, ABLATION)}
    own = by_family[HRA] or by_family[ABLATION]
    return min(own, key=lambda cell: (cell.dev.errors, cell.parameters_in_all, cell.seed), default=None)


def _curves(exp_dir: Path, multi: dict[str, list[CellRecord]]) -> tuple[list[Curve], list[Curve]]:
    """Dev WER and training loss of every multi-task method, of its first seed."""
    dev_wer: list[Curve] = []
    loss: list[Curve] = []
    for label, same in multi.items():
        records = read_metrics(exp_dir / same[0].folder)
        for curves, points in ((dev_wer, wer_curve(records)), (loss, loss_curve(records))):
            if points:
                curves.append(Curve(label, family_of(same[0].method), points))
    return dev_wer, loss


def _decoding(exp_dir: Path, best: Optional[CellRecord], method: str, command: str) -> Decoding | Missing:
    if best is None:
        return Missing("No HRA method was trained on all tasks together yet.", command)
    file = result_files(exp_dir / best.folder, "test", method).recogs
    if not file.is_file():
        return Missing(f"{best.folder}/{file.name} is not there.", command)
    return Decoding(
        f"Test set, {best.label}, multi-task, seed {best.seed}, {method}: the HRA cell with the fewest errors on dev",
        read_recogs(file),
    )


def _all_cells(cells: list[CellRecord], tasks: list[str]) -> Table:
    columns = [
        "method", "mode", "size", "seed", "lr", "parameters per task", "shared", "in all", "trainable", "WER %",
        "95 % interval", "errors", "words", *(f"{task} WER %" for task in tasks), "dev WER %", "dev errors",
        "dev words", "steps", "epochs", "seconds", "peak memory MiB", "learning rates: dev errors, loss", "folder",
    ]  # fmt: skip
    rows = []
    for cell in cells:
        wer = _task_wer([cell.tasks], tasks)
        tried = "; ".join(f"{one.lr:g}: {one.dev_errors}, {number(one.dev_loss, 1)}" for one in cell.lrs)
        rows.append(
            [
                cell.label, cell.mode, "–" if cell.size is None else str(cell.size), str(cell.seed), f"{cell.lr:g}",
                *(f"{n:,}" for n in (cell.parameters_per_task, cell.parameters_shared)),
                *(f"{n:,}" for n in (cell.parameters_in_all, cell.trainable)),
                number(cell.wer), f"{number(cell.low, 1)}–{number(cell.high, 1)}", f"{cell.errors:,}",
                f"{cell.words:,}", *(number(wer[task]) for task in tasks), number(cell.dev.wer),
                f"{cell.dev.errors:,}", f"{cell.dev.words:,}", f"{cell.steps:,}", f"{cell.epochs:,}",
                number(cell.seconds, 1), number(cell.peak_memory_mib, 0), tried, cell.folder,
            ]
        )  # fmt: skip
    return Table(columns, rows, text=(0, 1, len(columns) - 2, len(columns) - 1))


def _with_interval(scores: Union[SplitScores, CellRecord]) -> str:
    return f"{number(scores.wer)} % ({number(scores.low, 1)}–{number(scores.high, 1)})"
