"""Tasks and splits, as they are asked for. Imports nothing heavy, since the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from hra_cli.errors import MOST_SEED, HraError, check_not_negative

SPLITS = ("train", "dev", "test")
# What else the data of others call them.
ALSO_CALLED = {"training": "train", "valid": "dev", "validation": "dev", "val": "dev", "testing": "test"}
# The --split-by that draws them.
AT_RANDOM = "random"


@dataclass(frozen=True)
class RandomSplit:
    """test_fraction, dev_fraction: how much of each task becomes test and dev; the rest is to train on. Another seed
    gives another split. split_speakers: no speaker is in two splits. dev_of_train: the splits are given, and only dev
    is drawn, from train. Raises HraError for fractions that leave nothing to train on."""

    test_fraction: float = 0.1
    dev_fraction: float = 0.1
    seed: int = 42
    split_speakers: bool = False
    dev_of_train: bool = False

    def __post_init__(self) -> None:
        check_not_negative(MOST_SEED, seed=self.seed)
        test, dev = self.test_fraction, self.dev_fraction
        if not (0 <= test < 1 and 0 <= dev < 1 and test + dev < 1):
            raise HraError(f"--test-fraction {test} and --dev-fraction {dev} must be 0 or more and sum to less than 1")


@dataclass(frozen=True)
class Assignment:
    """Which task and which split every utterance belongs to.

    task_by:      "speaker", "gender", "language", the name of a field or column, "constant:NAME", or "file:FILE" with a
                  line `utterance task` each; None: what the corpus is made for, as a rule the speaker.
    split_by:     the same, and "random"; None: what the corpus says, else at random.
    random_split: how, at random. With given splits, only its dev_of_train has a meaning.
    """

    task_by: Optional[str] = None
    split_by: Optional[str] = None
    random_split: RandomSplit = RandomSplit()
