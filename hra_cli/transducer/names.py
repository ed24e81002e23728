"""The searches, types of transducer and losses by name, each with a line of help.

Imports nothing heavy, since the command line shows them.
"""

from __future__ import annotations

SEARCHES = {
    "greedy_search": "the best symbol of every frame",
    "modified_beam_search": "the best token sequences, frame by frame",
    "fast_beam_search": "the best path of k2's lattice; needs k2",
}
RNNT_TYPES = {
    "regular": "several tokens may fall on one frame",
    "modified": "at most one token a frame",
    "constrained": "at most one token a frame, and a blank on the same frame",
}
LOSSES = {
    "hra": "our own functions",
    "k2": "k2's functions, which give the same; needs k2",
}
