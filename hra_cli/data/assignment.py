"""Which task and which split every cut belongs to."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable, Iterator
from typing import Optional

from lhotse import CutSet
from lhotse.cut import Cut, MonoCut, MultiCut
from lhotse.utils import fastcopy

from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import SPLITS, RandomSplit
from hra_cli.errors import HraError


def cuts_by_task(
    cuts: CutSet,
    task_by: str,
    split_by: Optional[str] = None,
    test_fraction: float = RandomSplit.test_fraction,
    dev_fraction: float = RandomSplit.dev_fraction,
    seed: int = RandomSplit.seed,
) -> tuple[CutSet, list[Skipped]]:
    """One cut per supervision, with its task and split in `cut.custom`, and what could not be used.

    task_by:  "speaker", "custom.FIELD" or "constant:NAME"; fields are looked for on the supervision, then on
              the cut.
    split_by: "custom.FIELD" that says train, dev or test. Without it each task is split by the fractions:
              which part a cut falls into depends on the seed, its id and the ids of the task's other cuts,
              not on their order. A task of three cuts or more gets at least one in each part whose fraction
              is above 0, and one in train; a smaller one is all train.

    Raises `HraError` for a malformed spec, fractions that leave nothing to train on, and ids that occur more
    than once.
    """
    task_spec = _parse_spec(task_by, "--task-by", ("speaker", "custom.FIELD", "constant:NAME"))
    split_spec = None if split_by is None else _parse_spec(split_by, "--split-by", ("custom.FIELD",))
    if not (0 <= test_fraction < 1 and 0 <= dev_fraction < 1 and test_fraction + dev_fraction < 1):
        raise HraError(
            f"--test-fraction {test_fraction} and --dev-fraction {dev_fraction} must be 0 or more "
            "and sum to less than 1"
        )

    skipped: list[Skipped] = []
    usable: list[Cut] = []
    for cut in _one_supervision_each(cuts, skipped):
        task = _look_up(cut, task_spec)
        if task is None:
            skipped.append(Skipped(cut.id, f"no {task_by}"))
            continue
        custom = {**(cut.custom or {}), "task": task}
        if split_spec is not None:
            split = _look_up(cut, split_spec)
            if split is None:
                skipped.append(Skipped(cut.id, f"no {split_by}"))
                continue
            if split not in SPLITS:
                skipped.append(Skipped(cut.id, f"{split_by} is not train, dev or test", split))
                continue
            custom["split"] = split
        usable.append(fastcopy(cut, custom=custom))
    refuse_duplicates(usable)

    if split_spec is None:
        tasks = collections.defaultdict(list)
        for cut in usable:
            tasks[cut.custom["task"]].append(cut)
        for members in tasks.values():
            _split_by_fraction(members, test_fraction, dev_fraction, seed)
    return CutSet.from_cuts(usable), skipped


def _parse_spec(spec: str, option: str, allowed: tuple[str, ...]) -> tuple[str, str]:
    """("speaker", ""), ("custom", FIELD) or ("constant", NAME)."""
    if spec == "speaker" and "speaker" in allowed:
        return "speaker", ""
    for kind, separator in (("custom", "."), ("constant", ":")):
        head, found, rest = spec.partition(separator)
        if head == kind and found and rest and any(one.startswith(kind) for one in allowed):
            return kind, rest
    raise HraError(f"{option} {spec!r} is none of: {', '.join(allowed)}")


def _look_up(cut: Cut, spec: tuple[str, str]) -> Optional[str]:
    kind, name = spec
    if kind == "constant":
        return name
    supervision = cut.supervisions[0]
    if kind == "speaker":
        value = supervision.speaker
    else:
        value = (supervision.custom or {}).get(name)
        if value is None:
            value = (cut.custom or {}).get(name)
    return None if value is None or value == "" else str(value)


def _one_supervision_each(cuts: Iterable[Cut], skipped: list[Skipped]) -> Iterator[Cut]:
    for cut in cuts:
        if not cut.supervisions:
            skipped.append(Skipped(cut.id, "no supervision"))
        elif not isinstance(cut, (MonoCut, MultiCut)):
            # Its audio is a mix of several recordings, which cannot be resampled and referred to as one.
            skipped.append(Skipped(cut.id, "mixed cut", "save its audio and make a cut of the result"))
        elif not cut.has_recording:
            skipped.append(Skipped(cut.id, "no recording"))
        elif len(cut.supervisions) == 1:
            yield cut
        else:
            for supervision in cut.supervisions:
                try:
                    trimmed = fastcopy(cut, supervisions=[supervision]).trim_to_supervisions(keep_overlapping=False)
                except AssertionError:
                    # What lhotse raises where a supervision begins or ends outside its cut.
                    skipped.append(Skipped(supervision.id, "supervision outside its cut", cut.id))
                else:
                    yield from trimmed


def refuse_duplicates(cuts: Iterable[Cut]) -> None:
    """Raises `HraError` for ids that occur more than once."""
    counts = collections.Counter(cut.id for cut in cuts)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise HraError(f"{len(twice)} cut ids occur more than once, such as '{twice[0]}'; make the ids unique")


def _split_by_fraction(cuts: list[Cut], test_fraction: float, dev_fraction: float, seed: int) -> None:
    def rank(cut: Cut) -> str:
        return hashlib.sha256(f"{seed} {cut.id}".encode()).hexdigest()

    def part(fraction: float, most: int) -> int:
        wanted = max(1, round(fraction * len(cuts))) if fraction > 0 else 0
        return max(0, min(wanted, most))

    # With fewer than three cuts `most` is 0: all of them train.
    num_test = part(test_fraction, len(cuts) - 2)
    num_dev = part(dev_fraction, len(cuts) - 1 - num_test if len(cuts) >= 3 else 0)
    for position, cut in enumerate(sorted(cuts, key=rank)):
        if position < num_test:
            cut.custom["split"] = "test"
        elif position < num_test + num_dev:
            cut.custom["split"] = "dev"
        else:
            cut.custom["split"] = "train"
