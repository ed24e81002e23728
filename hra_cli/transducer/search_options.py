"""Options of the searches."""

from __future__ import annotations

from dataclasses import dataclass

from hra_cli.errors import check_positive


@dataclass(frozen=True)
class SearchOptions:
    """beam_size: hypotheses kept by modified_beam_search. The others are of fast_beam_search, as in icefall: beam in
    log-probability, contexts and states kept a frame.

    Raises HraError for what is not positive, or far beyond use.
    """

    beam_size: int = 4
    beam: float = 20.0
    max_contexts: int = 8
    max_states: int = 64

    def __post_init__(self) -> None:
        check_positive(1000, beam_size=self.beam_size)
        check_positive(10_000, beam=self.beam)
        check_positive(100_000, max_contexts=self.max_contexts, max_states=self.max_states)
