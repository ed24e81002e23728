"""Which task and which split every cut belongs to."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable, Iterator
from typing import Optional

from lhotse import CutSet, SupervisionSegment
from lhotse.cut import Cut, MonoCut, MultiCut
from lhotse.utils import fastcopy, to_list

from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import SPLITS, RandomSplit
from hra_cli.errors import HraError

# Times in manifests are often rounded to milliseconds.
ROUNDING = 0.001  # seconds
# How far a supervision may reach beyond its cut, which then ends it. lhotse's own is half a second, or a word.
TOLERANCE = 0.025  # seconds


def cuts_by_task(cuts: CutSet, task_by: str, split_by: Optional[str] = None) -> tuple[CutSet, list[Skipped]]:
    """One cut per supervision, with its task in `cut.custom`, its split too for `split_by`, and what cannot be used.

    task_by:  "speaker", "custom.FIELD" or "constant:NAME"; fields are looked for on the supervision, then on
              the cut.
    split_by: "custom.FIELD" that says train, dev or test. Without it the splits are still to be drawn, see
              `draw_splits`.

    A cut is trimmed to its supervision and to that one's channels; one that is so already stays as it is.
    Raises `HraError` for a malformed spec, and ids that occur more than once.
    """
    task_spec = _parse_spec(task_by, "--task-by", ("speaker", "custom.FIELD", "constant:NAME"))
    split_spec = None if split_by is None else _parse_spec(split_by, "--split-by", ("custom.FIELD",))
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
    return CutSet.from_cuts(usable), skipped


def draw_splits(cuts: Iterable[Cut], random_split: RandomSplit) -> None:
    """Says in `cut.custom` which split each cut belongs to, task by task.

    Which one depends on the seed, its id and the ids of the task's other cuts, not on their order. A task of three cuts
    or more gets at least one in each part whose fraction is above 0, and one in train; a smaller one is all train.
    """
    tasks = collections.defaultdict(list)
    for cut in cuts:
        tasks[cut.custom["task"]].append(cut)
    for members in tasks.values():
        _split_by_fraction(members, random_split)


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
    # What is no name, such as a list or an array, is none.
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None


def _one_supervision_each(cuts: Iterable[Cut], skipped: list[Skipped]) -> Iterator[Cut]:
    for cut in cuts:
        if not isinstance(cut, (MonoCut, MultiCut)):
            # Its audio is a mix of several recordings, which cannot be resampled and referred to as one.
            skipped.append(Skipped(cut.id, "mixed cut", "save its audio and make a cut of the result"))
        elif not cut.supervisions:
            skipped.append(Skipped(cut.id, "no supervision"))
        elif not cut.has_recording:
            skipped.append(Skipped(cut.id, "no recording"))
        else:
            alone = len(cut.supervisions) == 1
            for supervision in cut.supervisions:
                id_ = cut.id if alone else supervision.id
                problem = _unusable(cut, supervision)
                if problem:
                    skipped.append(Skipped(id_, problem, "" if alone else cut.id))
                elif alone and _covers(cut, supervision):
                    yield cut
                else:
                    try:
                        yield _trimmed(cut, supervision, id_)
                    except AssertionError:
                        # What lhotse raises where nothing is left, such as of a stretch of less than a sample.
                        skipped.append(Skipped(id_, "supervision outside its cut", "" if alone else cut.id))


def _unusable(cut: Cut, supervision: SupervisionSegment) -> str:
    """Why the supervision says nothing that is usable about its cut; '' if it does."""
    if cut.end > cut.recording.duration + TOLERANCE:
        return "cut outside its recording"
    inside = supervision.start >= -TOLERANCE and supervision.end <= cut.duration + TOLERANCE
    if not inside or supervision.duration <= 0 or _inside(cut, supervision).duration <= 0:
        return "supervision outside its cut"
    channels = set(to_list(supervision.channel))
    if not channels or not channels <= set(to_list(cut.channel)):
        return "supervision of a channel that its cut lacks"
    return ""


def _covers(cut: Cut, supervision: SupervisionSegment) -> bool:
    from_start, to_end = supervision.start <= ROUNDING, supervision.end >= cut.duration - ROUNDING
    return from_start and to_end and set(to_list(supervision.channel)) == set(to_list(cut.channel))


def _inside(cut: Cut, supervision: SupervisionSegment) -> SupervisionSegment:
    """The part of the supervision that is in its cut."""
    if supervision.start >= 0 and supervision.end <= cut.duration:
        return supervision  # as it is: trimming rounds
    return supervision.trim(cut.duration)


def _trimmed(cut: Cut, supervision: SupervisionSegment, id_: str) -> Cut:
    """The stretch and the channels of the cut that the supervision is about."""
    alone = fastcopy(cut, supervisions=[_inside(cut, supervision)])
    (trimmed,) = alone.trim_to_supervisions(keep_overlapping=False)
    trimmed.id = id_
    return trimmed


def refuse_duplicates(cuts: Iterable[Cut]) -> None:
    """Raises `HraError` for ids that occur more than once."""
    counts = collections.Counter(cut.id for cut in cuts)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise HraError(f"{len(twice)} cut ids occur more than once, such as '{twice[0]}'; make the ids unique")


def _split_by_fraction(cuts: list[Cut], random_split: RandomSplit) -> None:
    def rank(cut: Cut) -> str:
        return hashlib.sha256(f"{random_split.seed} {cut.id}".encode()).hexdigest()

    def part(fraction: float, most: int) -> int:
        wanted = max(1, round(fraction * len(cuts))) if fraction > 0 else 0
        return max(0, min(wanted, most))

    # With fewer than three cuts `most` is 0: all of them train.
    num_test = part(random_split.test_fraction, len(cuts) - 2)
    num_dev = part(random_split.dev_fraction, len(cuts) - 1 - num_test if len(cuts) >= 3 else 0)
    for position, cut in enumerate(sorted(cuts, key=rank)):
        if position < num_test:
            cut.custom["split"] = "test"
        elif position < num_test + num_dev:
            cut.custom["split"] = "dev"
        else:
            cut.custom["split"] = "train"
