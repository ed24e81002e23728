"""One thread, one item ahead."""

import threading

import pytest

from hra_cli.data.read_ahead import one_ahead

PATIENCE = 30.0  # seconds, on a busy machine


def test_everything_comes_in_order():
    assert list(one_ahead(str, range(20))) == [str(n) for n in range(20)]
    assert list(one_ahead(str, [])) == []


def test_the_next_one_is_made_while_one_is_in_use_and_no_more():
    begun = [threading.Event() for _ in range(4)]
    made_by = set()

    def make(n):
        begun[n].set()
        made_by.add(threading.current_thread())
        return n

    made = one_ahead(make, range(4))
    assert next(made) == 0
    assert begun[1].wait(PATIENCE)
    assert not begun[2].is_set()
    assert next(made) == 1
    assert begun[2].wait(PATIENCE)
    assert not begun[3].is_set()
    assert list(made) == [2, 3]
    assert len(made_by) == 1
    assert threading.current_thread() not in made_by


def test_an_error_comes_where_its_value_would_have_come():
    made = one_ahead(lambda n: 6 // n, [1, 2, 0, 3])
    assert [next(made), next(made)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert list(made) == []


def test_the_thread_ends_with_its_consumer():
    before = threading.active_count()
    made = one_ahead(str, range(1000))
    next(made)
    made.close()
    assert threading.active_count() == before
