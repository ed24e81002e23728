"""Timing in pairs."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pairs


def test_both_run_alternately_and_the_warm_up_is_not_counted(monkeypatch):
    done = []
    clock = iter(range(1000))
    monkeypatch.setattr(pairs.time, "perf_counter", lambda: next(clock))
    timed = pairs.timed_pairs(lambda: done.append("a"), lambda: (done.append("b"), next(clock)), pairs=3, warm_up=1)
    assert "".join(done) == "ab" * 4
    assert timed.a == [1, 1, 1]
    assert timed.b == [2, 2, 2]
    assert timed.ratios == [2, 2, 2]


def test_ratios_are_of_each_pair():
    timed = pairs.Pairs([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert timed.ratios == [2.0, 1.0, 0.5]
    assert timed.as_json()["ratio"] == {"lower quartile": 0.75, "median": 1.0, "upper quartile": 1.5}


@pytest.mark.parametrize(("values", "expected"), [([3.0], (3, 3, 3)), ([5, 1, 2, 4, 3], (2, 3, 4))])
def test_quartiles(values, expected):
    assert pairs.quartiles(values) == expected


def test_spread_is_shown_around_the_median():
    assert pairs.with_spread([0.004, 0.001, 0.002, 0.005, 0.003], 1000, 0) == "3 [2 – 4]"


def test_the_machine_is_described():
    described = pairs.machine()
    assert described["threads"] >= 1
    assert described["torch"]
    assert described["processor"] is not None
