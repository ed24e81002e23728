"""The searches as parameters of tests."""

import importlib.util

import pytest

from hra_cli.transducer import names

HAVE_K2 = importlib.util.find_spec("k2") is not None

# fast_beam_search is k2's.
SEARCHES = [
    pytest.param(method, marks=pytest.mark.skipif(method == "fast_beam_search" and not HAVE_K2, reason="needs k2"))
    for method in names.SEARCHES
]
