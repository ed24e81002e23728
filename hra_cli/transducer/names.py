"""The searches, types of transducer and losses by name, each with a line of help.

Imports nothing heavy, since the command line shows them.
"""

from __future__ import annotations

from hra_cli.errors import HraError

SEARCHES = {
    "greedy_search": "the best symbol of every frame",
    "modified_beam_search": "the best token sequences, frame by frame",
    "fast_beam_search": "the best path of k2's lattice; needs k2",
}
# Those that go on from where they were without looking at all frames again.
STREAMING_SEARCHES = ("greedy_search", "modified_beam_search")
RNNT_TYPES = {
    "regular": "several tokens may fall on one frame",
    "modified": "at most one token a frame",
    "constrained": "at most one token a frame, and a blank on the same frame",
}
LOSSES = {
    "hra": "our own functions",
    "k2": "k2's functions, which give the same; needs k2",
}


def check_streams(search: str) -> None:
    """Raises HraError for a search that is not in STREAMING_SEARCHES."""
    if search not in STREAMING_SEARCHES:
        raise HraError(f"--decoding-method {search} does not stream; use {' or '.join(STREAMING_SEARCHES)}")
