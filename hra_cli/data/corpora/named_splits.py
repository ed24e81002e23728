"""Several folders or files of one corpus, each of them a split: `train=DIR test=DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from hra_cli.data.splits import ALSO_CALLED, SPLITS
from hra_cli.errors import HraError


def named_splits(given: Sequence[Union[str, Path]]) -> list[tuple[Optional[str], Path]]:
    """(split, path) of each; the one path that is given without a name has None.

    A split may have several paths. Raises HraError where some of several are without a name, or a path is empty.
    """
    found = [(split, Path(path)) for split, path in (split_of(str(one)) for one in given)]
    without = [path for split, path in found if split is None]
    if without and len(found) > 1:
        raise HraError(f"several are several splits: write train=PATH, dev=PATH or test=PATH, not {without[0]}")
    return found


def split_of(given: str) -> tuple[Optional[str], str]:
    """The split and the rest of SPLIT=PATH; None and the whole of what names no split. Raises HraError for no PATH."""
    # A path may have an equals sign in it too.
    name, equals, path = given.partition("=")
    split = ALSO_CALLED.get(name.lower(), name.lower())
    if not equals or split not in SPLITS:
        return None, given
    if not path:
        raise HraError(f"{given} names no path; write {given}PATH")
    return split, path
