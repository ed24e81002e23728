"""The splits of a task's cuts. Imports nothing heavy, since the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass

from hra_cli.errors import MOST_SEED, HraError, check_not_negative

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class RandomSplit:
    """test_fraction, dev_fraction: how much of each task becomes test and dev; the rest is to train on. Another seed
    gives another split. Raises HraError for fractions that leave nothing to train on."""

    test_fraction: float = 0.1
    dev_fraction: float = 0.1
    seed: int = 42

    def __post_init__(self) -> None:
        check_not_negative(MOST_SEED, seed=self.seed)
        test, dev = self.test_fraction, self.dev_fraction
        if not (0 <= test < 1 and 0 <= dev < 1 and test + dev < 1):
            raise HraError(f"--test-fraction {test} and --dev-fraction {dev} must be 0 or more and sum to less than 1")
