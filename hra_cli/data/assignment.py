"""Which task and which split every cut belongs to."""

from __future__ import annotations

import collections
import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Optional

from lhotse import CutSet, SupervisionSegment
from lhotse.cut import Cut, MonoCut, MultiCut
from lhotse.utils import fastcopy, to_list

from hra_cli.data.cut_fields import CutField, fields_of, parse_field
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import ALSO_CALLED, SPLITS, RandomSplit
from hra_cli.data.stored_features import WANTED, unlike_ours
from hra_cli.errors import HraError, did_you_mean

# Times in manifests are often rounded to milliseconds.
ROUNDING = 0.001  # seconds
# How far a supervision may reach beyond its cut, which then ends it. lhotse's own is half a second, or a word.
TOLERANCE = 0.025  # seconds


def cuts_by_task(
    cuts: Iterable[Cut], task_by: str, split_by: Optional[str] = None, corpus: Optional[Path] = None
) -> tuple[CutSet, list[Skipped]]:
    """One cut per supervision, with its task in `cut.custom`, its split too for `split_by`, and what cannot be used.

    task_by, split_by: as in `parse_field`; a split is train, dev or test, or one of `ALSO_CALLED`. Without split_by the
    splits are still to be drawn, see `draw_splits`. corpus: where the cuts are from, for messages.

    A cut is trimmed to its supervision and to that one's channels; one that is so already stays as it is.
    Raises `HraError` for a malformed spec, for a field that no cut has, and ids that occur more than once.
    """
    task_field = parse_field(task_by, "--task-by")
    split_field = None if split_by is None else parse_field(split_by, "--split-by")
    skipped: list[Skipped] = []
    usable: list[Cut] = []
    tried: list[Cut] = []
    for cut in _one_supervision_each(cuts, skipped):
        task = task_field.of(cut)
        if task is None:
            skipped.append(Skipped(cut.id, f"no {task_by}"))
            tried.append(cut)
            continue
        custom = {**(cut.custom or {}), "task": task}
        if split_field is not None:
            split = split_field.of(cut)
            if split is None:
                skipped.append(Skipped(cut.id, f"no {split_by}"))
                tried.append(cut)
                continue
            named = ALSO_CALLED.get(split.lower(), split.lower())
            if named not in SPLITS:
                skipped.append(Skipped(cut.id, f"{split_by} is not train, dev or test", split))
                continue
            custom["split"] = named
        usable.append(fastcopy(cut, custom=custom))
    with _naming(corpus):
        if not usable:
            _refuse_unknown_fields(tried, (task_field, "--task-by"), (split_field, "--split-by"))
        refuse_duplicates(usable)
    return CutSet.from_cuts(usable), skipped


@contextlib.contextmanager
def _naming(corpus: Optional[Path]) -> Iterator[None]:
    try:
        yield
    except HraError as error:
        raise HraError(f"{corpus}: {error}" if corpus is not None else str(error)) from error


def _refuse_unknown_fields(cuts: list[Cut], *fields: tuple[Optional[CutField], str]) -> None:
    """Raises HraError for a field that none of the cuts has, where there are cuts."""
    for field, option in fields:
        if field is None or not cuts or any(field.of(cut) is not None for cut in cuts):
            continue
        if field.lines is not None:
            raise HraError(f"{option} {field.spec}: no utterance is in it; one is called '{cuts[0].id}'")
        instead = "; --task-by constant:NAME makes one task of all" if option == "--task-by" else ""
        known = did_you_mean(field.spec, fields_of(cuts))
        raise HraError(f"{option} {field.spec}: no utterance has it{known}{instead}")


def draw_splits(cuts: Iterable[Cut], random_split: RandomSplit) -> None:
    """Says in `cut.custom` which split each cut belongs to, task by task.

    Which one depends on the seed, its id and the ids of the task's other cuts, not on their order. A task of three cuts
    or more gets at least one in each part whose fraction is above 0, and one in train; a smaller one is all train. For
    split_speakers the same is said of a task's speakers, and fractions are still of its cuts. For dev_of_train only
    cuts in train and dev are drawn, and test stays. Raises HraError for split_speakers where a speaker is not known.
    """
    tasks = collections.defaultdict(list)
    for cut in cuts:
        if not random_split.dev_of_train or cut.custom["split"] != "test":
            tasks[cut.custom["task"]].append(cut)
    splits: dict[str, str] = {}  # of speakers, who may have several tasks
    for _, members in sorted(tasks.items()):
        if random_split.split_speakers:
            _split_by_speaker(members, random_split, splits)
        else:
            _split_by_fraction(members, random_split)


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


def refuse_duplicates(cuts: Iterable[Cut]) -> None:
    """Raises `HraError` for ids that occur more than once."""
    counts = collections.Counter(cut.id for cut in cuts)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise HraError(f"{len(twice)} cut ids occur more than once, such as '{twice[0]}'; make the ids unique")


def _split_by_fraction(cuts: list[Cut], random_split: RandomSplit) -> None:
    def rank(cut: Cut) -> str:
        return hashlib.sha256(f"{random_split.seed} {cut.id}".encode()).hexdigest()

    num_test, num_dev = _sizes(len(cuts), len(cuts), random_split)
    for position, cut in enumerate(sorted(cuts, key=rank)):
        if position < num_test:
            cut.custom["split"] = "test"
        elif position < num_test + num_dev:
            cut.custom["split"] = "dev"
        else:
            cut.custom["split"] = "train"


def _split_by_speaker(cuts: list[Cut], random_split: RandomSplit, splits: dict[str, str]) -> None:
    """As `_split_by_fraction`, by speaker. splits: of the speakers that have one; the others get theirs."""
    of_speaker: dict[str, list[Cut]] = collections.defaultdict(list)
    for cut in cuts:
        if not cut.supervisions[0].speaker:
            raise HraError(f"--split-speakers: the speaker of '{cut.id}' is not known; give every utterance a speaker")
        of_speaker[cut.supervisions[0].speaker].append(cut)

    def rank(speaker: str) -> str:
        return hashlib.sha256(f"{random_split.seed} {speaker}".encode()).hexdigest()

    num_test, num_dev = _sizes(len(cuts), len(of_speaker), random_split)
    sizes = collections.Counter[str]()
    for speaker, members in of_speaker.items():
        sizes[splits.get(speaker, "")] += len(members)
    new = sorted((speaker for speaker in of_speaker if speaker not in splits), key=rank)
    for split, wanted, later in (("test", num_test, num_dev), ("dev", num_dev, 0)):
        # One speaker at least is left for dev, and one for train.
        left = (1 if later and not sizes["dev"] else 0) + (0 if sizes["train"] else 1)
        while len(new) > left and sizes[split] < wanted:
            speaker = new.pop(0)
            splits[speaker] = split
            sizes[split] += len(of_speaker[speaker])
    splits.update((speaker, "train") for speaker in new)
    for speaker, members in of_speaker.items():
        for cut in members:
            cut.custom["split"] = splits[speaker]


def _sizes(cuts: int, units: int, random_split: RandomSplit) -> tuple[int, int]:
    """How many of a task's cuts are wanted in test and in dev, where it has so many units that stay together."""

    def part(fraction: float, most: int) -> int:
        wanted = max(1, round(fraction * cuts)) if fraction > 0 else 0
        return max(0, min(wanted, most))

    # With fewer than three units `most` is 0: all of them train.
    enough = units >= 3
    num_test = part(random_split.test_fraction, cuts - 2 if enough else 0)
    return num_test, part(random_split.dev_fraction, cuts - 1 - num_test if enough else 0)
