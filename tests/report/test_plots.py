import re

import pytest

from hra_cli.report.content import BASELINE, FROZEN, HRA, Point, Series, WerTable
from hra_cli.report.plots import MAX_PANELS, _spread, wer_against_parameters, wer_figure


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_many_tasks_are_cut_to_those_with_the_highest_wer():
    tasks = [f"task-{number:03}" for number in range(100)]
    after = {task: float(number) for number, task in enumerate(tasks)}
    table = WerTable(
        "Dev", tasks, [Series("frozen", FROZEN, 50.0, dict.fromkeys(tasks, 50.0)), Series("x", HRA, 5.0, after)]
    )
    shown = [text for text in texts(wer_figure(table, "wer")) if text.startswith("task")]
    assert shown == tasks[-MAX_PANELS + 1 :]


@pytest.mark.filterwarnings("error")
def test_any_name_is_shown_as_it_is():
    names = ["a$b$c", "日本語", "<&>", "x" * 200]
    table = WerTable("Dev", names, [Series("frozen", FROZEN, None, dict.fromkeys(names, None))])
    shown = texts(wer_figure(table, "wer"))
    assert {"a$b$c", "日本語", "&lt;&amp;&gt;", "–"} <= set(shown)
    assert max(map(len, shown)) < 50


def test_every_method_is_named_once():
    points = [
        Point(f"method {number}", BASELINE, several, 1000.0 + number, 2.0, 1.0, 3.0, 1)
        for number in range(9)
        for several in (True, False)
    ]
    assert sorted(text for text in texts(wer_against_parameters(points, "p")) if text.startswith("method")) == [
        f"method {number}" for number in range(9)
    ]


def test_names_at_the_ends_of_lines_are_apart():
    places = _spread([0.5, 0.5, 0.5, 0.52, 0.99, 1.0], gap=0.05)
    assert all(after - before > 0.045 for before, after in zip(places, places[1:]))
    assert places[0] >= 0.0
    assert places[-1] <= 1.0
    assert _spread([0.1, 0.9], gap=0.05) == [0.1, 0.9]
