import io

from rich.console import Console

from hra_cli.commands.wer_tables import before_after_table, wer_table
from hra_cli.scoring.wer import BeforeAfter, ErrorCounts, Scores, relative_change


def rendered(table):
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    lines = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if "│" in line]


def test_wer_table():
    tasks = {"fr": ErrorCounts(1, 0, 2, 12), "it": ErrorCounts(0, 5, 3, 1188)}
    table = wer_table(Scores(ErrorCounts(1, 5, 5, 1200), tasks), "test")
    assert rendered(table) == [
        ["fr", "12", "1", "0", "2", "3", "25.00"],
        ["it", "1,188", "0", "5", "3", "8", "0.67"],
        ["total", "1,200", "1", "5", "5", "11", "0.92"],
    ]
    assert [column.justify for column in table.columns] == ["left"] + ["right"] * 6


def test_before_after_table():
    rows = [
        BeforeAfter("fr", 8192, ErrorCounts(0, 5, 5, 40), ErrorCounts(0, 2, 3, 40)),
        BeforeAfter("it", 8192, ErrorCounts(words=60), ErrorCounts(insertions=3, words=60)),
    ]
    assert rendered(before_after_table(rows, "adapted")) == [
        ["fr", "8,192", "40", "25.00", "12.50", "-50.0"],
        ["it", "8,192", "60", "0.00", "5.00", "–"],
        ["total", "16,384", "100", "10.00", "8.00", "-20.0"],
    ]


def test_of_many_tasks_the_best_and_the_worst_are_shown():
    tasks = {f"task-{number:02d}": ErrorCounts(0, 0, number * 37 % 41, 100) for number in range(41)}
    rows = rendered(wer_table(Scores(ErrorCounts(0, 0, 820, 4100), tasks), "test"))
    assert [float(row[-1]) for row in rows[:10]] == list(range(10))
    assert rows[10][0] == "… 21 more"
    assert [float(row[-1]) for row in rows[11:21]] == list(range(31, 41))
    assert rows[21][0] == "total"
    changes = [BeforeAfter(task, 1, ErrorCounts(0, 0, 50, 100), counts) for task, counts in tasks.items()]
    assert [row[0] for row in rendered(before_after_table(changes, ""))] == [row[0] for row in rows]


def test_relative_change():
    assert relative_change(40.0, 30.0) == "-25.0"
    assert relative_change(40.0, 50.0) == "+25.0"
    assert relative_change(0.0, 50.0) == "–"
