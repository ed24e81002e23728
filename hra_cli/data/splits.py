"""The splits of a task's cuts. Imports nothing heavy, since the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class RandomSplit:
    """test_fraction, dev_fraction: how much of each task becomes test and dev; the rest is to train on. Another seed
    gives another split."""

    test_fraction: float = 0.1
    dev_fraction: float = 0.1
    seed: int = 42
