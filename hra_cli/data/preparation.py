"""Cuts to a data folder that training reads: checked, at 16 kHz mono, with features, split by task."""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Optional

from lhotse.cut import Cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.assignment import draw_splits, naming_corpus
from hra_cli.data.audio_reader import AudioReader
from hra_cli.data.chunk_archive import ARCHIVE_NAMES, Archives, audio_archives, feature_archives, no_archives
from hra_cli.data.cut_store import CutStore, in_parts
from hra_cli.data.perturb import at_other_speeds
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.prepared_manifests import MANIFESTS, write_prepared, write_shards
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.data.splits import SPLITS, RandomSplit
from hra_cli.data.task_index import INDEX_NAME, TaskIndex, check_task_names, load_tasks
from hra_cli.data.text_form import AS_IT_IS, TextChanges, TextOptions
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.data.transcripts import advice, unwritable
from hra_cli.errors import HraError
from hra_cli.io.cluster import cluster_executor
from hra_cli.io.files import remove_leftovers, writing
from hra_cli.io.lock import one_writer
from hra_cli.io.progress import counted

# A file that is there while a folder is being written: the next run may then remove what an unfinished one left.
UNFINISHED_NAME = ".hra-prepare-unfinished"
STORE_NAME = ".hra-prepare-cuts"


def find_prepared(
    output_dir: Path,
    arguments: Mapping[str, Any],
    *,
    on_the_fly: bool = PrepareOptions.on_the_fly,
    shar: bool = PrepareOptions.shar,
    tokenizer: Optional[Tokenizer] = None,
) -> Optional[TaskIndex]:
    """The index of `output_dir` if `prepare` finished there with the same arguments; None if unfinished.

    Raises `HraError` naming what differs where it finished with other arguments.
    """
    if not os.path.exists(output_dir / INDEX_NAME):  # also where the name is too long
        return None
    index = load_tasks(output_dir)
    now = _all_arguments(arguments, on_the_fly, shar, tokenizer)
    before = index.arguments
    differing = [
        f"{name} was {json.dumps(before.get(name))} and is now {json.dumps(now.get(name))}"
        for name in [*now, *(name for name in before if name not in now)]
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise HraError(
            f"{output_dir} was prepared with other arguments ({'; '.join(differing)}); "
            "choose another --output-dir or delete it"
        )
    return index


def prepare(
    cuts: Iterable[Cut],
    output_dir: Path,
    arguments: Mapping[str, Any],
    *,
    corpus: Optional[Path] = None,
    skipped: Iterable[Skipped] = (),
    random_split: Optional[RandomSplit] = None,
    perturb_speed: bool = PrepareOptions.perturb_speed,
    allow_commands: bool = False,
    num_jobs: int = PrepareOptions.num_jobs,
    cluster: Optional[str] = PrepareOptions.cluster,
    on_the_fly: bool = PrepareOptions.on_the_fly,
    shar: bool = PrepareOptions.shar,
    tokenizer: Optional[Tokenizer] = None,
    text: TextOptions = PrepareOptions.text_options,
    progress: Optional[Progress] = None,
) -> TaskIndex:
    """Checks every cut, stores features unless `on_the_fly` or `shar`, and writes the data folder, `tasks.json` last.

    cuts:           each with one supervision and "task" and "split" in its `custom`, as `assigned` gives them.
    arguments:      what `cuts` were made from, as JSON. Where `output_dir` is finished and was made from the same,
                    nothing is done.
    corpus:         where they are from, for messages.
    skipped:        what could not be used before this point, once all cuts are asked for; it is listed with the rest in
                    `skipped.tsv`.
    random_split:   says the split of every cut that can be used, in place of its `custom`.
    allow_commands: whether audio may come from shell commands and URLs.
    shar:           whether audio is copied into Shar archives, from which features are computed when needed.
    cluster:        where audio is read in place of `num_jobs` processes, as `cluster_executor` takes it.
    text:           what is done to transcripts before `tokenizer` is asked whether it can write them.

    An unfinished folder is started over. Raises `HraError` where no cut can be used, the folder was made from
    other arguments, another process is writing it, or files in the way were not written by this function.
    """
    if num_jobs < 1:
        raise HraError(f"--num-jobs {num_jobs} must be 1 or more")
    # Stored paths must hold from any working directory. (Path.resolve has an error of its own for links in a circle.)
    folder = Path(os.path.realpath(output_dir))
    with one_writer(folder):
        index = find_prepared(output_dir, arguments, on_the_fly=on_the_fly, shar=shar, tokenizer=tokenizer)
        if index is not None:
            return index
        # Before anything is read, which may take long where there is no such cluster.
        with cluster_executor(cluster) as executor, CutStore(folder / STORE_NAME) as store:
            without_text: list[Skipped] = []
            with naming_corpus(corpus):
                store.add(counted(_with_text(cuts, without_text), progress, "reading cuts"))
                check_task_names(store.tasks())
            with writing(output_dir):
                _start_over(folder)
            left_out = [*skipped, *without_text]
            archives = _archives(folder, on_the_fly, shar)
            elsewhere = None if cluster is None else executor
            reader = AudioReader(archives, allow_commands, num_jobs, elsewhere, progress, left_out)
            changes = _change_text(store, tokenizer, text, left_out)
            _read(store, reader, random_split, perturb_speed)
            if left_out:
                write_skipped(folder / SKIPPED_NAME, left_out)
            reasons = dict(sorted(collections.Counter(one.reason for one in left_out).items()))
            if not len(store):
                raise HraError(_nothing_usable(reasons, output_dir))
            writing_cuts = partial(counted, progress=progress, what="writing cuts", total=len(store))
            if shar:
                write_shards(archives, reader.chunks, store)
            index = TaskIndex(
                data_dir=output_dir,
                tasks=write_prepared(folder, store, writing_cuts),
                features="on-the-fly" if on_the_fly or shar else "stored",
                arguments=_all_arguments(arguments, on_the_fly, shar, tokenizer),
                skipped=reasons,
                text=changes,
            )
        index.save()
        with writing(output_dir):
            (folder / UNFINISHED_NAME).unlink()
    return index


def _read(
    store: CutStore,
    reader: AudioReader,
    random_split: Optional[RandomSplit],
    perturb_speed: bool,
) -> None:
    """Leaves the cuts whose audio can be used, and for `perturb_speed` adds the copies of those of train."""
    if random_split is not None:
        # Only for the order in which they are read, and so lie on disk: it is that of their splits.
        draw_splits(store, random_split)
    reader.read(store, store.rows(), keep_before=perturb_speed)
    if random_split is not None:
        # Again, among those that are left: so no task loses its dev and test to recordings that cannot be read.
        draw_splits(store, random_split)
    if perturb_speed:
        last = store.last
        # As they were before they were resampled.
        train = (cut for rows in in_parts(store.rows(split="train")) for cut in store.cuts(rows, before=True))
        store.add(at_other_speeds(train))
        reader.read(store, store.rows(after=last))


def _nothing_usable(reasons: Mapping[str, int], output_dir: Path) -> str:
    counts = ", ".join(f"{count} × {reason}" for reason, count in reasons.items()) or "there are no cuts"
    where = f"; see {output_dir / SKIPPED_NAME}" if reasons else ""
    form = advice(reasons, sum(reasons.values()))
    return f"no utterance can be used: {counts}{where}" + (f"; {form}" if form else "")


def _archives(folder: Path, on_the_fly: bool, shar: bool) -> Archives:
    if shar:
        return audio_archives(folder)
    return no_archives() if on_the_fly else feature_archives(folder)


def _all_arguments(
    arguments: Mapping[str, Any], on_the_fly: bool, shar: bool, tokenizer: Optional[Tokenizer]
) -> dict[str, Any]:
    return {
        **arguments,
        "on-the-fly": on_the_fly,
        **({"shar": True} if shar else {}),
        "tokenizer-sha256": tokenizer.fingerprint if tokenizer is not None else None,
    }


def _with_text(cuts: Iterable[Cut], skipped: list[Skipped]) -> Iterator[Cut]:
    for cut in cuts:
        text = cut.supervisions[0].text
        if text is not None and not isinstance(text, str):
            skipped.append(Skipped(cut.id, "transcript that is no text", f"{type(text).__name__} {text!r}"[:100]))
            continue
        if text is None or not text.strip():
            skipped.append(Skipped(cut.id, "empty transcript"))
            continue
        yield cut


def _change_text(
    store: CutStore, tokenizer: Optional[Tokenizer], options: TextOptions, skipped: list[Skipped]
) -> Optional[TextChanges]:
    """Gives the cuts their text in the form that the options say, and removes those whose text the tokenizer cannot
    write. Returns what was done; None where nothing was to be."""
    writes = tokenizer.writes if tokenizer is not None and tokenizer.has_characters else None
    changes = TextChanges(options.form(store.texts(), writes))
    if tokenizer is None and changes.form == AS_IT_IS:
        return None
    for found in store.ids_and_texts():
        unusable, changed = [], {}
        for row, id_, before in found:
            after = changes.apply(before)
            problem = unwritable(id_, after, tokenizer) if tokenizer is not None else None
            if not after:
                problem = Skipped(id_, "transcript of punctuation alone", before[:100])
            if problem is not None:
                skipped.append(problem)
                unusable.append(row)
            elif after != before:
                changed[row] = after
        store.remove(unusable)
        cuts = zip(store.cuts(list(changed)), changed.values())
        store.replace(list(changed), (_with_other_text(cut, text) for cut, text in cuts))
    return changes if changes.changed else None


def _with_other_text(cut: Cut, text: str) -> Cut:
    return fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text=text)])


def _start_over(folder: Path) -> None:
    """Makes `folder` ready to be written, without what an unfinished run left there. Other files stay."""
    unfinished = folder / UNFINISHED_NAME
    ours = [folder / name for name in (*MANIFESTS, SKIPPED_NAME)]
    ours += [path for kind in ARCHIVE_NAMES for path in sorted(folder.glob(kind))]
    ours += [path for split in SPLITS for path in sorted(folder.glob(f"cuts/*/{split}.jsonl.gz"))]
    in_the_way = [path for path in ours if path.exists()]
    if in_the_way and not unfinished.exists():
        raise HraError(f"{in_the_way[0]} exists and was not written by `hra prepare`; choose another --output-dir")
    for place in (folder, folder / "feats", folder / "shar"):
        remove_leftovers(place)
    for path in in_the_way:
        path.unlink()
    unfinished.touch()
