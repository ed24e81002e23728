"""The figures of a report. matplotlib is imported where it is used: hra starts without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hra_cli.io.plain_text import plain
from hra_cli.report.content import (
    ABLATION,
    BASELINE,
    FROZEN,
    HRA,
    Curve,
    Differences,
    Growth,
    Onboarding,
    Point,
    ShotsCurve,
    WerTable,
    number,
)
from hra_cli.report.svg import COLOURS, inline_svg, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels
WIDTH = 9.2  # inches; the page scales figures
COLUMNS = 3  # of small panels
MAX_PANELS = 24
LONGEST_NAME = 44  # characters of a label or title
LINE_STYLES = {FROZEN: ":", HRA: "-", ABLATION: (0, (1.2, 1.4)), BASELINE: (0, (5, 2))}


def wer_figure(table: WerTable, name: str) -> str:
    """A panel for all tasks together and one for each (the MAX_PANELS with the highest WER), a bar per method."""
    shown = _highest(table)
    labels = [_plain(series.label) for series in table.series]
    panels = [("all tasks", [series.total for series in table.series])]
    panels += [(task, [series.tasks.get(task) for series in table.series]) for task in shown]
    top = max((wer for _, values in panels for wer in values if wer is not None), default=0.0) or 1.0
    with style(name):
        figure, grid = _grid(len(panels), height=0.55 + 0.2 * len(labels))
        for axes, (title, values) in zip(grid, panels):
            axes.barh(
                range(len(labels)),
                [wer or 0.0 for wer in values],
                height=0.72,
                color=[COLOURS[series.family] for series in table.series],
            )
            for place, wer in enumerate(values):
                axes.text((wer or 0.0) + 0.015 * top, place, number(wer, 1), va="center", fontsize=8)
            axes.set_title(_plain(title), fontweight="bold")
            axes.set_xlim(0, 1.17 * top)
            axes.set_yticks(range(len(labels)), labels)
            axes.tick_params(axis="y", length=0)
            axes.invert_yaxis()
            axes.grid(axis="x")
        _label_outside(grid, "WER %", "")
        return inline_svg(figure, name, f"Bars: WER by task and method, as in the table. {table.title}.")


def wer_against_parameters(points: Sequence[Point], name: str) -> str:
    """A filled circle per multi-task method and an open diamond per single-task one, a line from one to the other."""
    from matplotlib.figure import Figure

    with style(name):
        figure = Figure((WIDTH, 5.8), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        by_label: dict[str, list[Point]] = {}
        for point in points:
            by_label.setdefault(point.label, []).append(point)
            axes.errorbar(
                point.parameters,
                point.wer,
                [[max(point.wer - point.low, 0.0)], [max(point.high - point.wer, 0.0)]],
                fmt="o" if point.multi_task else "D",
                markersize=7 if point.multi_task else 6,
                color=COLOURS[point.family],
                markerfacecolor=COLOURS[point.family] if point.multi_task else COLOURS["background"],
                markeredgewidth=1.5,
                elinewidth=1.0,
                capsize=2.5,
                zorder=3,
            )
        for same in by_label.values():  # of one method
            axes.plot(
                [point.parameters for point in same],
                [point.wer for point in same],
                color=COLOURS[same[0].family],
                linestyle=":",
                linewidth=1.0,
            )
        parameters = [point.parameters for point in points]
        axes.set_xlim(min(parameters) / 2.5, max(parameters) * 2.5)
        highest = max(point.high for point in points) or 1.0
        axes.set_ylim(-0.03 * highest, 1.05 * highest)
        _count_axis(axes.xaxis)
        axes.set_xlabel("parameters per task (log scale)")
        axes.set_ylabel("WER %")
        axes.grid()
        _marker_legend(axes, points)
        _place_labels(figure, axes, list(by_label.values()))
        return inline_svg(
            figure, name, "Points: WER against parameters per task, with 95 % intervals, as in the table."
        )


def difference_figure(differences: Differences, name: str) -> str:
    """A row per method: its difference from the first one, with its interval; zero is that method."""
    from matplotlib.figure import Figure

    rows = differences.rows
    with style(name):
        figure = Figure((WIDTH, 0.9 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0.0, color=COLOURS["frozen"], linewidth=1.5)
        for place, row in enumerate(rows):
            axes.errorbar(
                row.difference,
                place,
                xerr=[[max(row.difference - row.low, 0.0)], [max(row.high - row.difference, 0.0)]],
                fmt="o",
                markersize=6,
                color=COLOURS[row.family],
                elinewidth=1.5,
                capsize=3,
            )
        axes.set_yticks(range(len(rows)), [_plain(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"WER less that of {_plain(differences.first)}, in per cent")
        axes.grid(axis="x")
        return inline_svg(figure, name, f"Points: how far methods are from {differences.first}, as in the table.")


def growth_figure(growth: Growth, name: str) -> str:
    """Parameters in all against the number of tasks, both axes logarithmic, a line per method named at its end."""
    from matplotlib.figure import Figure

    with style(name):
        figure = Figure((WIDTH, 4.4))
        figure.subplots_adjust(left=0.08, right=0.69, bottom=0.12, top=0.97)
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line in growth.lines:
            axes.plot(
                growth.tasks,
                line.parameters,
                color=COLOURS[line.family],
                linestyle=LINE_STYLES[line.family],
                linewidth=1.8,
                marker="o",
                markersize=3.5,
                clip_on=False,
            )
        axes.set_xlim(min(growth.tasks), max(growth.tasks))
        _count_axis(axes.xaxis)
        _count_axis(axes.yaxis)
        axes.set_xlabel("tasks (log scale)")
        axes.set_ylabel("parameters in all (log scale)")
        axes.grid()
        _name_lines(axes, [(line.label, line.family, line.parameters[-1]) for line in growth.lines])
        return inline_svg(figure, name, "Lines: parameters in all against the number of tasks, as in the table.")


def shots_figure(onboarding: Onboarding, name: str) -> str:
    """A panel per method: WER over shots with intervals, from what is common and from zero; other methods faint."""
    curves = onboarding.curves
    labels = list(dict.fromkeys(curve.label for curve in curves))[:MAX_PANELS]
    place_of = {shots: place for place, shots in enumerate(onboarding.shots)}

    def line(curve: ShotsCurve) -> tuple[list[int], list[float]]:
        return [place_of[point.shots] for point in curve.points], [point.wer for point in curve.points]

    with style(name):
        figure, grid = _grid(len(labels), height=2.3 if len(labels) > 1 else 3.2)
        for axes, label in zip(grid, labels):
            for curve in curves:
                if curve.label != label:
                    axes.plot(*line(curve), color=COLOURS["faint"], linewidth=0.7, alpha=0.5)
            for curve in curves:
                if curve.label == label:
                    _shots_line(axes, curve, *line(curve))
            axes.set_title(_plain(label), fontsize=8, fontweight="bold")
            axes.set_xlim(-0.3, len(place_of) - 0.7)
            axes.set_xticks(range(len(place_of)), [f"{shots:,}" for shots in place_of])
            axes.grid()
        highest = max(point.high for curve in curves for point in curve.points) or 1.0
        grid[0].set_ylim(0, 1.05 * highest)
        _label_outside(grid, "utterances", "WER %")
        return inline_svg(figure, name, "Curves: WER over utterances of held-out tasks, a panel per method.")


def _shots_line(axes: Axes, curve: ShotsCurve, places: Sequence[int], wers: Sequence[float]) -> None:
    """From what is common: filled and solid; from zero: open and dotted, and a little to the right."""
    colour = COLOURS[curve.family]
    axes.errorbar(
        [place if curve.common else place + 0.08 for place in places],
        wers,
        [
            [max(point.wer - point.low, 0.0) for point in curve.points],
            [max(point.high - point.wer, 0.0) for point in curve.points],
        ],
        fmt="o" if curve.common else "D",
        linestyle="-" if curve.common else ":",
        linewidth=1.8 if curve.common else 1.2,
        markersize=5,
        color=colour,
        markerfacecolor=colour if curve.common else COLOURS["background"],
        elinewidth=1.0,
        capsize=2.5,
    )


def curve_figure(curves: Sequence[Curve], value: str, name: str) -> str:
    """A panel per curve, with the other curves faint behind it; at most MAX_PANELS."""
    with style(name):
        shown = curves[:MAX_PANELS]
        figure, grid = _grid(len(shown), height=1.9 if len(shown) > 1 else 3.0)
        highest = max(y for curve in shown for _, y in curve.points)
        last = max(step for curve in shown for step, _ in curve.points)
        for axes, curve in zip(grid, shown):
            for other in shown:
                if other is not curve:
                    axes.plot(*zip(*other.points), color=COLOURS["faint"], linewidth=0.7, alpha=0.5)
            axes.plot(
                *zip(*curve.points),
                color=COLOURS[curve.family],
                linewidth=1.8,
                marker="o" if len(curve.points) <= 40 else None,
                markersize=3,
            )
            axes.set_title(_plain(curve.label), fontsize=8, fontweight="bold")
            axes.set_xlim(-0.03 * last, 1.03 * last or 1.0)
            axes.set_ylim(0, 1.05 * highest or 1.0)
            axes.locator_params(axis="x", integer=True)
            axes.grid()
        _label_outside(grid, "step", value)
        return inline_svg(figure, name, f"Curves: {value} against training steps, a panel each.")


def _plain(name: str) -> str:
    """A name as matplotlib shows it: cut where it is long, and a dollar sign begins no formula."""
    name = plain(name)
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return shown.replace("$", r"\$")


def _highest(table: WerTable) -> list[str]:
    """The tasks to show, in the table's order."""
    if len(table.tasks) < MAX_PANELS:
        return table.tasks
    worst = sorted(table.tasks, key=lambda task: -(table.series[-1].tasks.get(task) or 0.0))[: MAX_PANELS - 1]
    return [task for task in table.tasks if task in worst]


def _grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Panels of one size with common axes, row by row."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = Figure((WIDTH, rows * height + 0.4), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in grid[panels:]:
        axes.remove()
    return figure, grid[:panels]


def _label_outside(grid: Sequence[Axes], x_label: str, y_label: str) -> None:
    columns = min(COLUMNS, len(grid))
    for place, axes in enumerate(grid):
        if place % columns == 0 and y_label:
            axes.set_ylabel(y_label)
        if place + columns >= len(grid):  # nothing below it
            axes.set_xlabel(x_label)
            axes.tick_params(labelbottom=True)


def _count_axis(axis: Any) -> None:
    """A logarithmic axis with 1, 10, 100, 1,000 … 1 M, 10 M, as plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def short(value: float, _: object = None) -> str:
        for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= size:
                return f"{value / size:g}{letter}"
        return f"{value:g}"

    axis.set_major_locator(LogLocator(10, numticks=15))
    axis.set_major_formatter(FuncFormatter(short))
    axis.set_minor_formatter(NullFormatter())


def _marker_legend(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    kinds = [("trained on all tasks together", True, "o"), ("one model per task", False, "D")]
    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=6, color=COLOURS["text"], label=label,
               markerfacecolor=COLOURS["text"] if multi_task else COLOURS["background"], markeredgewidth=1.5)
        for label, multi_task, marker in kinds
        if any(point.multi_task == multi_task for point in points)
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False, fontsize=8)


def _name_lines(axes: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Names (label, family, last y) right of a logarithmic plot, pushed apart where lines end close together."""
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    ordered = sorted(ends, key=lambda end: end[2])
    wanted = [(math.log10(end[2]) - low) / (high - low) for end in ordered]
    for (label, family, _), wished, place in zip(ordered, wanted, _spread(wanted, gap=0.052)):
        axes.annotate(
            "", xy=(1.0, wished), xytext=(1.035, place), xycoords="axes fraction", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLOURS[family], "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.text(1.04, place, _plain(label), transform=axes.transAxes, va="center", fontsize=8)


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending places near `wanted` (ascending, 0 to 1), about `gap` apart: neighbours push each other away."""
    places = list(wanted)
    for _ in range(1000):
        for one in range(len(places) - 1):
            push = max(gap - (places[one + 1] - places[one]), 0.0) / 2
            places[one] -= push
            places[one + 1] += push
        places = [min(max(place, 0.0), 1.0) for place in places]
    return places


def _place_labels(figure: Figure, axes: Axes, methods: Sequence[Sequence[Point]]) -> None:
    """Writes each method's label near its first point, where it and the line to it hide the least."""
    figure.draw_without_rendering()
    per_point, frame = figure.dpi / 72, axes.get_window_extent().extents

    def pixels(point: Point, wer: float) -> tuple[float, float]:
        x, y = axes.transData.transform((point.parameters, wer))
        return float(x), float(y)

    markers: list[Box] = []
    taken: list[Box] = []  # markers, intervals, lines and the labels so far
    for points in methods:
        places = [pixels(point, point.wer) for point in points]
        markers += [_around(x, y, 8) for x, y in places]
        taken += [box for one, other in zip(places, places[1:]) for box in _along(one, other)]
        for point in points:
            (x, low), (_, high) = pixels(point, point.low), pixels(point, point.high)
            taken.append((x - 4, low, x + 4, high))
    taken += markers
    for first in sorted((points[0] for points in methods), key=lambda point: (-point.wer, point.label)):
        measured = axes.text(first.parameters, first.wer, _plain(first.label), fontsize=8)
        width, height = measured.get_window_extent().size
        measured.remove()
        x, y = pixels(first, first.wer)
        lowest = math.inf
        for right, up in _spots():
            near = (x + right * per_point, y + up * per_point)
            left = near[0] if right > 0 else near[0] - width
            box = (left, near[1] - height / 2, left + width, near[1] + height / 2)
            leader = [piece for piece in _along((x, y), near) if math.dist(piece[:2], (x, y)) > 14]
            hidden = sum(_overlap(box, other) for other in taken)
            crossed = sum(_overlap(piece, other) for piece in leader for other in markers)
            outside = width * height - _overlap(box, frame)
            cost = 10 * (hidden + crossed + outside) + math.hypot(right, up)
            if cost < lowest:
                lowest, best, best_boxes = cost, (right, up), [_wider(box), *leader]
        side = 0.0 if best[0] > 0 else 1.0  # of the text, where the line to the point begins
        axes.annotate(
            _plain(first.label), (first.parameters, first.wer), best, textcoords="offset points", fontsize=8,
            va="center", ha="right" if side else "left",
            arrowprops={"arrowstyle": "-", "color": COLOURS["faint"], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 5,
                        "relpos": (side, 0.5)},
        )  # fmt: skip
        taken += best_boxes


def _spots() -> list[tuple[float, float]]:
    """Offsets (x, y) in points at which a label may be."""
    return [(side * x, y) for x in (9, 20, 35, 55, 80, 110) for side in (1, -1) for y in range(-140, 141, 7)]


def _around(x: float, y: float, reach: float) -> Box:
    return x - reach, y - reach, x + reach, y + reach


def _wider(box: Box) -> Box:
    """With room for the gap between two labels in one row."""
    return box[0] - 12, box[1] - 1, box[2] + 12, box[3] + 1


def _along(one: tuple[float, float], other: tuple[float, float]) -> list[Box]:
    """Small boxes that cover the line between two places."""
    (x, y), (other_x, other_y) = one, other
    pieces = max(int(math.dist(one, other) / 5), 1)
    parts = [piece / pieces for piece in range(pieces + 1)]
    return [_around(x + (other_x - x) * part, y + (other_y - y) * part, 2) for part in parts]


def _overlap(one: Box, other: Box) -> float:
    """The area common to both."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0
