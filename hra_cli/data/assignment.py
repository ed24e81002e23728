"""Which task and which split every cut belongs to."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import heapq
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Optional

from lhotse import SupervisionSegment
from lhotse.cut import Cut, MonoCut, MultiCut
from lhotse.utils import fastcopy, to_list

from hra_cli.data.cut_fields import CutField, fields_of, parse_field
from hra_cli.data.cut_store import CutStore
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import ALSO_CALLED, SPLITS, RandomSplit
from hra_cli.data.stored_features import WANTED, unlike_ours
from hra_cli.errors import HraError, did_you_mean

# Times in manifests are often rounded to milliseconds.
ROUNDING = 0.001  # seconds
# How far a supervision may reach beyond its cut, which then ends it. lhotse's own is half a second, or a word.
TOLERANCE = 0.025  # seconds


def assigned(
    cuts: Iterable[Cut],
    skipped: list[Skipped],
    task_by: str,
    split_by: Optional[str] = None,
    corpus: Optional[Path] = None,
) -> Iterator[Cut]:
    """One cut per supervision, with its task in `cut.custom`, and its split too for `split_by`; each when it is asked
    for.

    skipped: gets what cannot be used. task_by, split_by: as in `parse_field`; a split is train, dev or test, or one of
    `ALSO_CALLED`. Without split_by the splits are still to be drawn, see `draw_splits`. corpus: where the cuts are
    from, for messages.

    A cut is trimmed to its supervision and to that one's channels; one that is so already stays as it is.
    Raises `HraError` for a malformed spec, and at the end for a field that no cut has.
    """
    task_field = parse_field(task_by, "--task-by")
    split_field = None if split_by is None else parse_field(split_by, "--split-by")
    fields = [_Lookup(task_field, "--task-by"), _Lookup(split_field, "--split-by")]
    found = False
    for cut in _one_supervision_each(cuts, skipped):
        task = task_field.of(cut)
        split = None if split_field is None else split_field.of(cut)
        if task is None or (split is None and split_field is not None):
            skipped.append(Skipped(cut.id, f"no {task_by}" if task is None else f"no {split_by}"))
            for field in () if found else fields:
                field.look(cut)
            continue
        custom = {**(cut.custom or {}), "task": task}
        if split is not None:
            named = ALSO_CALLED.get(split.lower(), split.lower())
            if named not in SPLITS:
                skipped.append(Skipped(cut.id, f"{split_by} is not train, dev or test", split))
                continue
            custom["split"] = named
        found = True
        yield fastcopy(cut, custom=custom)
    with naming_corpus(corpus):
        for field in () if found else fields:
            field.refuse_unknown()


@contextlib.contextmanager
def naming_corpus(corpus: Optional[Path]) -> Iterator[None]:
    """An HraError of the block begins with the corpus."""
    try:
        yield
    except HraError as error:
        raise HraError(f"{corpus}: {error}" if corpus is not None else str(error)) from error


class _Lookup:
    """Looks for a field in cuts that lack one, to say what they have instead."""

    def __init__(self, field: Optional[CutField], option: str) -> None:
        self._field = field
        self._option = option
        self._first: Optional[str] = None
        self._names: set[str] = set()
        self._there = False

    def look(self, cut: Cut) -> None:
        """Looks at one more."""
        self._first = self._first or cut.id
        self._names |= fields_of([cut])
        self._there = self._there or self._field is None or self._field.of(cut) is not None

    def refuse_unknown(self) -> None:
        """Raises HraError where none of the cuts has it, and there were cuts."""
        field = self._field
        if field is None or self._first is None or self._there:
            return
        if field.lines is not None:
            raise HraError(f"{self._option} {field.spec}: no utterance is in it; one is called '{self._first}'")
        instead = "; --task-by constant:NAME makes one task of all" if self._option == "--task-by" else ""
        known = did_you_mean(field.spec, self._names)
        raise HraError(f"{self._option} {field.spec}: no utterance has it{known}{instead}")


def draw_splits(store: CutStore, random_split: RandomSplit) -> None:
    """Says which split each cut belongs to, task by task.

    Which one depends on the seed, its id and the ids of the task's other cuts, not on their order. A task of three cuts
    or more gets at least one in each part whose fraction is above 0, and one in train; a smaller one is all train. For
    split_speakers the same is said of a task's speakers, and fractions are still of its cuts. For dev_of_train only
    cuts in train and dev are drawn, and test stays. Raises HraError for split_speakers where a speaker is not known.
    """
    given = "test" if random_split.dev_of_train else None
    splits: dict[str, str] = {}  # of speakers, who may have several tasks
    store.put_all_in("train", but=given)
    for task in store.tasks():
        if random_split.split_speakers:
            _split_by_speaker(store, task, given, random_split, splits)
        else:
            _split_by_fraction(store, task, given, random_split)


def _one_supervision_each(cuts: Iterable[Cut], skipped: list[Skipped]) -> Iterator[Cut]:
    for cut in cuts:
        if not isinstance(cut, (MonoCut, MultiCut)):
            # Its audio is a mix of several recordings, which cannot be resampled and referred to as one.
            skipped.append(Skipped(cut.id, "mixed cut", "save its audio and make a cut of the result"))
        elif not cut.supervisions:
            skipped.append(Skipped(cut.id, "no supervision"))
        elif not cut.has_recording and not cut.has_features:
            skipped.append(Skipped(cut.id, "no recording"))
        elif not cut.has_recording and (difference := unlike_ours(cut.features)):
            skipped.append(Skipped(cut.id, f"no recording, and features that are not {WANTED}", difference))
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
    end_of_all = cut.recording.duration if cut.has_recording else cut.features.end
    if cut.end > end_of_all + TOLERANCE or (not cut.has_recording and cut.start < cut.features.start - TOLERANCE):
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


def _split_by_fraction(store: CutStore, task: str, given: Optional[str], random_split: RandomSplit) -> None:
    def rank(member: tuple[int, str]) -> str:
        return _rank(random_split, member[1])

    cuts = store.count_of(task, but=given)
    num_test, num_dev = _sizes(cuts, cuts, random_split)
    first = heapq.nsmallest(num_test + num_dev, store.ids_of(task, but=given), key=rank)
    store.put_in("test", (row for row, _ in first[:num_test]))
    store.put_in("dev", (row for row, _ in first[num_test:]))


def _split_by_speaker(
    store: CutStore, task: str, given: Optional[str], random_split: RandomSplit, splits: dict[str, str]
) -> None:
    """As `_split_by_fraction`, by speaker. splits: of the speakers that have one; the others get theirs."""
    of_speaker = store.speakers_of(task, but=given)
    num_test, num_dev = _sizes(sum(of_speaker.values()), len(of_speaker), random_split)
    sizes = collections.Counter[str]()
    for speaker, cuts in of_speaker.items():
        sizes[splits.get(speaker, "")] += cuts
    new = sorted((speaker for speaker in of_speaker if speaker not in splits), key=partial(_rank, random_split))
    for split, wanted, later in (("test", num_test, num_dev), ("dev", num_dev, 0)):
        # One speaker at least is left for dev, and one for train.
        left = (1 if later and not sizes["dev"] else 0) + (0 if sizes["train"] else 1)
        while len(new) > left and sizes[split] < wanted:
            speaker = new.pop(0)
            splits[speaker] = split
            sizes[split] += of_speaker[speaker]
    splits.update((speaker, "train") for speaker in new)
    for speaker in of_speaker:
        store.put_speaker_in(splits[speaker], task, speaker, but=given)


def _rank(random_split: RandomSplit, name: str) -> str:
    return hashlib.sha256(f"{random_split.seed} {name}".encode()).hexdigest()


def _sizes(cuts: int, units: int, random_split: RandomSplit) -> tuple[int, int]:
    """How many of a task's cuts are wanted in test and in dev, where it has so many units that stay together."""

    def part(fraction: float, most: int) -> int:
        wanted = max(1, round(fraction * cuts)) if fraction > 0 else 0
        return max(0, min(wanted, most))

    # With fewer than three units `most` is 0: all of them train.
    enough = units >= 3
    num_test = part(random_split.test_fraction, cuts - 2 if enough else 0)
    return num_test, part(random_split.dev_fraction, cuts - 1 - num_test if enough else 0)
