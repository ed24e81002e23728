"""The options of `hra compare --modes onboard`. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from hra_cli.errors import MOST_EPOCHS, HraError, check_not_negative, check_positive

ONBOARD = "onboard"  # the mode
_MOST_SHOTS = 1_000_000
_MOST_FOLDS = 1_000_000


@dataclass(frozen=True)
class OnboardOptions:
    """shots: of how many utterances each held-out task is learned. held_out: the tasks to hold out together, () for all
    in turn, in so many `folds` (None: as many as there are tasks, at most 4). onboard_epochs: passes over these
    utterances. Raises HraError for numbers that cannot be, and for held_out with folds."""

    shots: tuple[int, ...] = (0, 5, 10, 20, 50)
    held_out: tuple[str, ...] = ()
    folds: Optional[int] = None
    onboard_epochs: int = 20

    def __post_init__(self) -> None:
        if not self.shots:
            raise HraError("--shots names none")
        for number in self.shots:
            check_not_negative(_MOST_SHOTS, shots=number)
        check_positive(_MOST_FOLDS, folds=self.folds)
        check_positive(MOST_EPOCHS, onboard_epochs=self.onboard_epochs)
        if self.folds == 1:
            raise HraError("--folds must be 2 or more: what is shared is learned from the tasks of the other folds")
        if self.folds is not None and self.held_out:
            raise HraError("--folds has no effect with --held-out; leave it out")

    @property
    def points(self) -> list[int]:
        """The shots, each once, the fewest first."""
        return sorted(set(self.shots))
