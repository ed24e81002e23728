"""A report as one HTML page: no script, nothing loaded, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Callable, Optional

import yaml

from hra_cli.io.plain_text import plain
from hra_cli.report.content import (
    ABLATION,
    BASELINE,
    FROZEN,
    HRA,
    Content,
    Curve,
    Decoding,
    Differences,
    Growth,
    Missing,
    Onboarding,
    Point,
    ShotsPoint,
    Table,
    WerTable,
    number,
)
from hra_cli.report.plots import (
    MAX_PANELS,
    curve_figure,
    difference_figure,
    growth_figure,
    shots_figure,
    wer_against_parameters,
    wer_figure,
)
from hra_cli.report.style import STYLE_SHEET
from hra_cli.scoring.results import count_confusions, most_frequent_first
from hra_cli.scoring.wer import GAP, Utterance, align_words, count_errors, relative_change

WORST = 20  # utterances shown
MOST_FREQUENT = 15  # confusions shown, of each kind
COMMAND_WIDTH = 100  # characters
CONTINUED = " \\\n"


def page(content: Content) -> str:
    """The whole document, as HTML."""
    sections = [
        ("wer", "WER before and after", _wer(content)),
        ("parameters", "WER against parameters", _parameters(content.points)),
        ("differences", "Which differences are no chance", _differences(content.differences)),
        ("onboarding", "A few utterances of a new task", _onboarding(content.onboarding)),
        ("growth", "Growth over tasks", _growth(content.growth, content.growth_note)),
        ("curves", "Learning curves", _curves(content)),
        ("worst", "Worst utterances", _worst(content.decoding)),
        ("confusions", "Most frequent confusions", _confusions(content.decoding)),
        ("cells", "All results", "" if content.cells is None else _table(content.cells)),
        ("reproduce", "How to reproduce", _reproduce(content)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{heading}</a>\n' for name, heading, _ in sections)
    body = "".join(f'<section id="{name}">\n<h2>{heading}</h2>\n{html}</section>\n' for name, heading, html in sections)
    title = _text(content.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{STYLE_SHEET}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{title}</h1>\n{_facts(content.facts)}<nav>\n{links}</nav>\n</header>\n"
        f"<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _wer(content: Content) -> str:
    parts = []
    for place, table in enumerate(content.wer):
        caption = "WER in per cent, lower is better. " + _colours(table)
        if len(table.tasks) >= MAX_PANELS:
            caption += f" The {MAX_PANELS - 1} tasks with the highest WER are drawn; the table has all."
        parts.append(f"<h3>{_text(table.title)}</h3>\n")
        parts.append(_figure(wer_figure(table, f"wer{place}"), caption))
        parts.append(_table(_wer_rows(table)))
    return "".join(parts) + _missing(content.wer_missing)


def _colours(table: WerTable) -> str:
    """What the colours mean, where there are others than before and after."""
    names = {
        FROZEN: "Grey: frozen",
        HRA: "blue: HRA",
        ABLATION: "light blue: its ablations",
        BASELINE: "orange: others",
    }
    families = {series.family for series in table.series}
    shown = [meaning for family, meaning in names.items() if family in families]
    return f"{'; '.join(shown)}." if families - {FROZEN, HRA} else ""


def _wer_rows(table: WerTable) -> Table:
    """Tasks in rows; where there are two series, before and after, their relative change too."""
    compare = len(table.series) == 2
    columns = ["task", *(["words"] if table.words else []), *(series.label for series in table.series)]
    rows = []
    total = sum(table.words.values())
    for task in [None, *table.tasks]:
        values = [series.total if task is None else series.tasks.get(task) for series in table.series]
        row = ["all tasks" if task is None else task]
        if table.words:
            row.append(f"{total if task is None else table.words.get(task, 0):,}")
        row += [number(value) for value in values]
        if compare:
            before, after = values
            row.append("–" if before is None or after is None else relative_change(before, after))
        rows.append(row)
    return Table([*columns, *(["change %"] if compare else [])], rows)


def _parameters(points: Optional[list[Point]]) -> str:
    if not points:
        return ""
    caption = (
        "Parameters per task are all trained parameters divided by the number of tasks: what tasks share is divided "
        "evenly, also where that is everything, as in full fine-tuning on all tasks together. Bars are 95 % intervals. "
        "Several seeds are shown by their mean, interval ends too."
    )
    rows = [
        [
            point.label,
            "all tasks together" if point.multi_task else "one model per task",
            f"{point.parameters:,.0f}",
            number(point.wer),
            f"{number(point.low, 1)}–{number(point.high, 1)}",
            str(point.seeds),
        ]
        for point in points
    ]
    columns = ["method", "trained on", "parameters per task", "WER %", "95 % interval", "seeds"]
    return _figure(wer_against_parameters(points, "points"), caption) + _table(Table(columns, rows, text=(0, 1)))


def _differences(differences: Sequence[Differences]) -> str:
    parts = []
    for place, found in enumerate(differences):
        caption = (
            f"Mean WER over the seeds less that of {_text(found.first)}: left of zero a method is better, right of it "
            "worse. Bars are paired 95 % intervals over test utterances; how far seeds differ is not in them."
        )
        rows = [
            [row.label, number(row.wer), f"{row.difference:+.2f}", f"{row.low:+.1f} to {row.high:+.1f}", str(row.seeds)]
            for row in found.rows
        ]
        parts.append(f"<h3>{'All tasks together' if found.multi_task else 'One model per task'}</h3>\n")
        parts.append(_figure(difference_figure(found, f"difference{place}"), caption))
        parts.append(_table(Table(["method", "mean WER %", "difference", "95 % interval", "seeds"], rows)))
    return "".join(parts)


def _onboarding(onboarding: Optional[Onboarding]) -> str:
    if onboarding is None:
        return ""
    caption = (
        f"WER on test after training on so many utterances of a held-out task. {_text(onboarding.note)} Filled: "
        "held-out tasks start from what the other tasks have learned in common; open: from zero, which without "
        "utterances is the frozen model. Bars are 95 % intervals over tasks, of the mean over the seeds; faint: the "
        "other methods."
    )
    first = onboarding.curves[0]

    def rows(shown: Callable[[ShotsPoint], str]) -> list[list[str]]:
        found = []
        for curve in onboarding.curves:
            points = {point.shots: shown(point) for point in curve.points}
            start = "common" if curve.common else "zero"
            cells = [curve.label, start, f"{curve.parameters:,}"]
            found.append([*cells, *(points.get(shots, "–") for shots in onboarding.shots)])
        return found

    def difference(point: ShotsPoint) -> str:
        if point.difference is None:
            return ""
        value, low, high = point.difference
        return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"

    columns = ["method", "start", "parameters per task", *(f"{shots:,}" for shots in onboarding.shots)]
    wer = rows(lambda point: f"{number(point.wer, 1)} ({number(point.low, 1)}–{number(point.high, 1)})")
    parts = [_figure(shots_figure(onboarding, "shots"), caption), _table(Table(columns, wer, text=(0, 1)))]
    if len(onboarding.curves) > 1:
        start = "common" if first.common else "zero"
        parts.append(f"<h3>Less {_text(first.label)}, {start}, with paired 95 % intervals over tasks</h3>\n")
        parts.append(_table(Table(columns, rows(difference)[1:], text=(0, 1))))
    return "".join(parts)


def _growth(growth: Growth, note: str) -> str:
    columns = ["method", *(f"{tasks:,} task{'s' if tasks > 1 else ''}" for tasks in growth.tasks)]
    rows = [[line.label, *(f"{parameters:,}" for parameters in line.parameters)] for line in growth.lines]
    caption = f"Parameters in all, besides the frozen model's. {_text(note)}"
    return _figure(growth_figure(growth, "growth"), caption) + _table(Table(columns, rows))


def _curves(content: Content) -> str:
    if not content.dev_wer:
        return _missing(content.curves_missing)
    caption = "After every epoch; step 0 is the frozen model."
    if len(content.dev_wer) > MAX_PANELS:
        caption += f" The first {MAX_PANELS} of {len(content.dev_wer):,} curves; the table has all."
    parts = [
        "<h3>WER on dev</h3>\n",
        _figure(curve_figure(content.dev_wer, "dev WER %", "devwer"), caption),
        _table(_curve_rows(content.dev_wer)),
    ]
    if any(curve.points for curve in content.train_loss):
        parts.append("<h3>Training loss</h3>\n")
        loss = [curve for curve in content.train_loss if curve.points]
        parts.append(_figure(curve_figure(loss, "loss per frame", "loss"), "The transducer loss per encoder frame."))
    return "".join(parts)


def _curve_rows(curves: Sequence[Curve]) -> Table:
    rows = []
    for curve in curves:
        step, best = min(curve.points, key=lambda point: point[1])
        first, last = curve.points[0][1], curve.points[-1][1]
        rows.append([curve.label, number(first), number(best), f"{step:,}", number(last)])
    return Table(["curve", "first", "lowest", "at step", "last"], rows)


def _worst(decoding: Decoding | Missing | None) -> str:
    if decoding is None:
        return ""
    if isinstance(decoding, Missing):
        return _missing(decoding)
    counted = [(count_errors(u.ref, u.hyp), u) for u in decoding.utterances]
    wrong = sorted(
        ((counts, u) for counts, u in counted if counts.errors),
        key=lambda item: (-item[0].errors, -item[0].errors / max(item[0].words, 1), item[1].id),
    )
    if not wrong:
        return f"<p>No errors in {len(counted):,} utterances: {_text(decoding.title)}.</p>\n"
    shown = "".join(
        f'<li><p class="id">{_text(u.id)} <span>{counts.errors} error{"s" if counts.errors > 1 else ""} in '
        f"{counts.words} word{'s' if counts.words != 1 else ''}</span></p>\n{_aligned(u)}</li>\n"
        for counts, u in wrong[:WORST]
    )
    return (
        f"<p>{_text(decoding.title)}. {len(wrong):,} of {len(counted):,} utterances have errors; these have the most. "
        "Above is what was said, below what was recognised: <b>S</b> substituted, <b>D</b> deleted, <b>I</b> inserted."
        f'</p>\n<ol class="worst">\n{shown}</ol>\n'
    )


def _aligned(utterance: Utterance) -> str:
    """Words in columns: reference, hypothesis, and a letter where they differ."""
    columns = []
    for ref, hyp in align_words(utterance.ref, utterance.hyp):
        kind = "" if ref == hyp else "D" if hyp == GAP else "I" if ref == GAP else "S"
        words = "".join(f"<span>{_text(word) or '·'}</span>" for word in (ref, hyp))
        columns.append(f'<span class="word {kind or "right"}">{words}<b>{kind}</b></span>')
    return f'<p class="aligned">{" ".join(columns)}</p>\n'


def _confusions(decoding: Decoding | Missing | None) -> str:
    if decoding is None:
        return ""
    if isinstance(decoding, Missing):
        return _missing(decoding)
    counts = count_confusions(align_words(u.ref, u.hyp) for u in decoding.utterances)
    kinds = [
        ("substituted", ["said", "recognised"], [(*pair, n) for pair, n in most_frequent_first(counts.substituted)]),
        ("deleted", ["said"], most_frequent_first(counts.deleted)),
        ("inserted", ["recognised"], most_frequent_first(counts.inserted)),
    ]
    tables = []
    for kind, columns, found in kinds:
        rows = [[*words, f"{n:,}"] for *words, n in found[:MOST_FREQUENT]]
        what = f"{sum(n for *_, n in found):,} {kind}" + (f", of {len(found):,} kinds" if found else "")
        table = _table(Table([*columns, "count"], rows, text=tuple(range(len(columns))))) if rows else ""
        tables.append(f"<div>\n<h3>{what}</h3>\n{table}</div>\n")
    return f'<p>{_text(decoding.title)}.</p>\n<div class="beside">\n{"".join(tables)}</div>\n'


def _reproduce(content: Content) -> str:
    config = yaml.safe_dump(content.config, sort_keys=False, allow_unicode=True, width=100)
    return (
        f"{''.join(_command(command) for command in content.commands)}{_facts(content.versions)}"
        f"<h3>Configuration</h3>\n<pre><code>{escape(config)}</code></pre>\n"
    )


def _facts(facts: dict[str, str]) -> str:
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>\n" for name, value in facts.items())
    return f"<dl>\n{items}</dl>\n"


def _missing(missing: Optional[Missing]) -> str:
    if missing is None:
        return ""
    return f"<p>{_text(missing.sentence)} This would fill it:</p>\n{_command(missing.command)}"


def _command(command: str) -> str:
    """Broken before options, as a shell takes it."""
    lines = [""]
    for part in plain(command).replace(" --", "\n--").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > COMMAND_WIDTH:
            lines.append("   ")
        lines[-1] += f" {part}" if lines[-1] else part
    return f"<pre><code>{CONTINUED.join(map(_text, lines))}</code></pre>\n"


def _figure(svg: str, caption: str) -> str:
    """caption: HTML."""
    return f'<figure>\n<div class="wide">\n{svg}</div>\n<figcaption>{caption}</figcaption>\n</figure>\n'


def _text(text: str) -> str:
    """Text from anywhere as HTML that shows it."""
    return escape(plain(text))


def _table(table: Table) -> str:
    """In a frame of its own that scrolls sideways where the table is wider than the page."""

    def row(cells: Sequence[str], heading: bool = False) -> str:
        html = []
        for place, cell in enumerate(cells):
            side = "" if place in table.text else ' class="number"'
            if heading:
                html.append(f'<th scope="col"{side}>{_text(cell)}</th>')
            elif place == 0:
                html.append(f'<th scope="row"{side}>{_text(cell)}</th>')
            else:
                html.append(f"<td{side}>{_text(cell)}</td>")
        return f"<tr>{''.join(html)}</tr>\n"

    body = "".join(row(cells) for cells in table.rows)
    head = row(table.columns, heading=True)
    return f'<div class="wide">\n<table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n'
