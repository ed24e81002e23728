"""The searches by name, and a whole batch in one call."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hra_cli.backbone.model import Backbone
from hra_cli.errors import HraError, did_you_mean
from hra_cli.transducer.fast_beam import FastBeamSearch
from hra_cli.transducer.greedy import GreedySearch
from hra_cli.transducer.modified_beam import ModifiedBeamSearch
from hra_cli.transducer.names import SEARCHES
from hra_cli.transducer.search_interface import Hypothesis, Search
from hra_cli.transducer.search_options import SearchOptions

# The classes for the names in names.py.
METHODS: dict[str, type[Search[Any]]] = {
    "greedy_search": GreedySearch,
    "modified_beam_search": ModifiedBeamSearch,
    "fast_beam_search": FastBeamSearch,
}


def check_method(method: str) -> None:
    """Raises HraError for a search that is not in SEARCHES."""
    if method not in SEARCHES:
        raise HraError(f"no such --decoding-method: '{method}'{did_you_mean(method, SEARCHES)}")


def new_search(method: str, backbone: Backbone, options: SearchOptions = SearchOptions()) -> Search[Any]:  # noqa: B008
    """The search called `method`. Raises HraError for an unknown one, and for k2's where k2 is missing."""
    check_method(method)
    return METHODS[method](backbone, options)


def search(
    method: str,
    backbone: Backbone,
    encoder_out: Tensor,
    encoder_out_lens: Tensor,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
) -> list[Hypothesis]:
    """What `method` finds in each utterance of a batch; encoder_out (N, T, C), encoder_out_lens (N,), on one device.

    Raises HraError as `new_search` does.
    """
    chosen = new_search(method, backbone, options)
    state = chosen.start(len(encoder_out))
    return chosen.finish(chosen.advance(state, encoder_out, encoder_out_lens))
