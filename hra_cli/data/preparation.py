"""Cuts to a data folder that training reads: checked, at 16 kHz mono, with features, split by task."""

from __future__ import annotations

import collections
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import torch
from lhotse import CutSet, LilcomChunkyWriter
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.assignment import draw_splits, refuse_duplicates
from hra_cli.data.audio import mono_audio, one_line
from hra_cli.data.features import SAMPLING_RATE, SHORTEST_SECONDS, fbank
from hra_cli.data.manifests import write_manifest
from hra_cli.data.perturb import at_other_speeds
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.resampling import check_resampling
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.data.splits import SPLITS, RandomSplit
from hra_cli.data.stored_features import load_stored
from hra_cli.data.task_index import (
    INDEX_NAME,
    Split,
    TaskIndex,
    check_task_names,
    load_tasks,
    seconds_of,
    words_of,
)
from hra_cli.data.text_form import AS_IT_IS, TextChanges, TextOptions
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.data.transcripts import advice, unwritable
from hra_cli.errors import HraError
from hra_cli.io.cluster import cluster_executor
from hra_cli.io.files import check_text, remove_leftovers, replacing, writing
from hra_cli.io.lock import one_writer

# A file that is there while a folder is being written: the next run may then remove what an unfinished one left.
UNFINISHED_NAME = ".hra-prepare-unfinished"
MANIFESTS = ("recordings.jsonl.gz", "supervisions.jsonl.gz", "features.jsonl.gz")
CUTS_NAME = "cuts.jsonl.gz"
ReadChunk = Callable[[list[Cut], Optional[Path]], tuple[list[Cut], list[Skipped]]]
# One archive of features and one step of the progress bar; independent of num_jobs, so that results are too.
CUTS_PER_CHUNK = 100


def find_prepared(
    output_dir: Path,
    arguments: Mapping[str, Any],
    *,
    on_the_fly: bool = PrepareOptions.on_the_fly,
    tokenizer: Optional[Tokenizer] = None,
) -> Optional[TaskIndex]:
    """The index of `output_dir` if `prepare` finished there with the same arguments; None if unfinished.

    Raises `HraError` naming what differs where it finished with other arguments.
    """
    if not os.path.exists(output_dir / INDEX_NAME):  # also where the name is too long
        return None
    index = load_tasks(output_dir)
    now = _all_arguments(arguments, on_the_fly, tokenizer)
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
    cuts: CutSet,
    output_dir: Path,
    arguments: Mapping[str, Any],
    *,
    skipped: Sequence[Skipped] = (),
    random_split: Optional[RandomSplit] = None,
    perturb_speed: bool = PrepareOptions.perturb_speed,
    allow_commands: bool = False,
    num_jobs: int = PrepareOptions.num_jobs,
    cluster: Optional[str] = PrepareOptions.cluster,
    on_the_fly: bool = PrepareOptions.on_the_fly,
    tokenizer: Optional[Tokenizer] = None,
    text: TextOptions = PrepareOptions.text_options,
    progress: Optional[Progress] = None,
) -> TaskIndex:
    """Checks every cut, stores features unless `on_the_fly`, and writes the data folder, `tasks.json` last.

    cuts:           each with one supervision and "task" and "split" in its `custom`, as `fsdd_cuts` makes them.
    arguments:      what `cuts` were made from, as JSON. Where `output_dir` is finished and was made from the same,
                    nothing is done.
    skipped:        what could not be used before this point; it is listed with the rest in `skipped.tsv`.
    random_split:   says the split of every cut that can be used, in place of its `custom`.
    allow_commands: whether audio may come from shell commands and URLs.
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
        index = find_prepared(output_dir, arguments, on_the_fly=on_the_fly, tokenizer=tokenizer)
        if index is not None:
            return index
        refuse_duplicates(cuts)
        check_task_names({cut.custom["task"] for cut in cuts})
        with writing(output_dir):
            _start_over(folder)
        left_out = list(skipped)
        feats_dir = None if on_the_fly else folder / "feats"
        reader = _Reader(feats_dir, allow_commands, num_jobs, cluster, progress, left_out)
        todo, changes = _with_changed_text(_with_text(cuts, left_out), tokenizer, text, left_out)
        usable = _usable(todo, reader, random_split, perturb_speed)
        if left_out:
            write_skipped(folder / SKIPPED_NAME, left_out)
        reasons = dict(sorted(collections.Counter(one.reason for one in left_out).items()))
        if not usable:
            raise HraError(_nothing_usable(reasons, output_dir))
        index = TaskIndex(
            data_dir=output_dir,
            tasks=_write_manifests(folder, usable),
            features="on-the-fly" if on_the_fly else "stored",
            arguments=_all_arguments(arguments, on_the_fly, tokenizer),
            skipped=reasons,
            text=changes,
        )
        index.save()
        with writing(output_dir):
            (folder / UNFINISHED_NAME).unlink()
    return index


def _usable(
    todo: list[Cut],
    reader: _Reader,
    random_split: Optional[RandomSplit],
    perturb_speed: bool,
) -> list[Cut]:
    """The cuts whose audio can be used, in order, and for `perturb_speed` the copies of those of train."""
    if random_split is not None:
        # Only for the order in which they are read, and so lie on disk: it is that of their splits.
        draw_splits(todo, random_split)
    todo.sort(key=_place)
    usable = reader.read(todo)
    if random_split is not None:
        # Again, among those that are left: so no task loses its dev and test to recordings that cannot be read.
        draw_splits(usable, random_split)
    if perturb_speed:
        before = {cut.id: cut for cut in todo}  # as they were before they were resampled
        train = (cut for cut in usable if cut.custom["split"] == "train")
        copies = list(at_other_speeds(fastcopy(before[cut.id], custom=cut.custom) for cut in train))
        refuse_duplicates([*usable, *copies])
        usable += reader.read(sorted(copies, key=_place))
    return sorted(usable, key=_place)


def _place(cut: Cut) -> tuple[str, int, str]:
    return cut.custom["task"], SPLITS.index(cut.custom["split"]), cut.id


def _nothing_usable(reasons: Mapping[str, int], output_dir: Path) -> str:
    counts = ", ".join(f"{count} × {reason}" for reason, count in reasons.items()) or "there are no cuts"
    where = f"; see {output_dir / SKIPPED_NAME}" if reasons else ""
    form = advice(reasons, sum(reasons.values()))
    return f"no utterance can be used: {counts}{where}" + (f"; {form}" if form else "")


def _all_arguments(arguments: Mapping[str, Any], on_the_fly: bool, tokenizer: Optional[Tokenizer]) -> dict[str, Any]:
    return {
        **arguments,
        "on-the-fly": on_the_fly,
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


def _with_changed_text(
    cuts: Iterable[Cut], tokenizer: Optional[Tokenizer], options: TextOptions, skipped: list[Skipped]
) -> tuple[list[Cut], Optional[TextChanges]]:
    """The cuts with their text in the form that the options say, where the tokenizer can write that; and what was done,
    None where nothing was to be."""
    todo = list(cuts)
    writes = tokenizer.writes if tokenizer is not None and tokenizer.has_characters else None
    changes = TextChanges(options.form((cut.supervisions[0].text for cut in todo), writes))
    if tokenizer is None and changes.form == AS_IT_IS:
        return todo, None
    usable = []
    for cut in todo:
        before = cut.supervisions[0].text
        after = changes.apply(before)
        problem = unwritable(cut.id, after, tokenizer) if tokenizer is not None else None
        if not after:
            skipped.append(Skipped(cut.id, "transcript of punctuation alone", before[:100]))
        elif problem is not None:
            skipped.append(problem)
        else:
            same = after == before
            usable.append(cut if same else fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text=after)]))
    return usable, changes if changes.changed else None


@dataclass
class _Reader:
    """Reads every cut's audio once, in `num_jobs` processes or on `cluster`, and stores its features below `feats_dir`
    unless None.

    skipped: gets what cannot be used.
    """

    feats_dir: Optional[Path]
    allow_commands: bool
    num_jobs: int
    cluster: Optional[str]
    progress: Optional[Progress]
    skipped: list[Skipped]
    archives: int = 0

    def read(self, cuts: list[Cut]) -> list[Cut]:
        """The cuts that are usable, in order, with what training reads."""
        if self.feats_dir is not None:
            with writing(self.feats_dir):
                self.feats_dir.mkdir(exist_ok=True)
        chunks = [cuts[start : start + CUTS_PER_CHUNK] for start in range(0, len(cuts), CUTS_PER_CHUNK)]
        archives = [self._archive(self.archives + number) for number in range(len(chunks))]
        self.archives += len(chunks)
        bar = self.progress.add_task("reading audio", total=len(cuts), note="") if self.progress else None
        usable: list[Cut] = []
        read_chunk = partial(_read_chunk, allow_commands=self.allow_commands)
        if self.cluster is not None:
            found = _map_on_cluster(read_chunk, chunks, archives, self.cluster)
        else:
            found = _map_chunks(read_chunk, chunks, archives, min(self.num_jobs, len(chunks)))
        for chunk, (good, bad) in zip(chunks, found):
            usable += good
            self.skipped += bad
            if self.progress is not None and bar is not None:
                note = f"{len(self.skipped)} skipped" if self.skipped else ""
                self.progress.update(bar, advance=len(chunk), note=note)
        if self.feats_dir is not None:
            remove_leftovers(self.feats_dir)  # of a worker that was lost
        return usable

    def _archive(self, number: int) -> Optional[Path]:
        return self.feats_dir / f"feats-{number:06d}.lca" if self.feats_dir is not None else None


def _map_chunks(
    read_chunk: ReadChunk,
    chunks: list[list[Cut]],
    archives: list[Optional[Path]],
    num_jobs: int,
) -> Iterator[tuple[list[Cut], list[Skipped]]]:
    if num_jobs <= 1:
        # One thread as in the workers, since the number of threads can change the last bits of a sum.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from map(read_chunk, chunks, archives)
        finally:
            torch.set_num_threads(threads)
        return
    # "spawn", since a fork of a process that has run torch's threads can hang.
    pool = ProcessPoolExecutor(num_jobs, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        yield from pool.map(read_chunk, chunks, archives)
    except BrokenProcessPool as error:
        raise HraError("a process that read audio was killed, out of memory?; try --num-jobs 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _map_on_cluster(
    read_chunk: ReadChunk, chunks: list[list[Cut]], archives: list[Optional[Path]], cluster: str
) -> Iterator[tuple[list[Cut], list[Skipped]]]:
    with cluster_executor(cluster) as executor:
        yield from executor.map(partial(_by_one_thread, read_chunk), chunks, archives)


def _by_one_thread(read_chunk: ReadChunk, cuts: list[Cut], archive: Optional[Path]) -> tuple[list[Cut], list[Skipped]]:
    torch.set_num_threads(1)  # as in the workers of this machine
    return read_chunk(cuts, archive)


def _start_worker() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process of the terminal; the parent ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_parent() -> None:
    # A worker that outlives a killed parent would write into the archives of the next run.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_chunk(cuts: list[Cut], archive: Optional[Path], allow_commands: bool) -> tuple[list[Cut], list[Skipped]]:
    if archive is None:
        return _read_cuts(cuts, None, allow_commands)
    # Whole or not at all: a worker that a cluster takes for lost may still be writing when another does its work again.
    with replacing(archive) as temporary, LilcomChunkyWriter(temporary) as writer:
        usable, skipped = _read_cuts(cuts, writer, allow_commands)
    return [fastcopy(cut, features=fastcopy(cut.features, storage_path=str(archive))) for cut in usable], skipped


def _read_cuts(
    cuts: list[Cut], writer: Optional[LilcomChunkyWriter], allow_commands: bool
) -> tuple[list[Cut], list[Skipped]]:
    extractor = fbank()
    usable: list[Cut] = []
    skipped: list[Skipped] = []
    for cut in cuts:
        if cut.duration < SHORTEST_SECONDS:
            skipped.append(Skipped(cut.id, "too short", f"{cut.duration:.3f} s"))
            continue
        if not cut.has_recording:
            _keep_features(cut, writer, usable, skipped)
            continue
        try:
            cut = _at_16_khz(cut)
            samples = mono_audio(cut, allow_commands)
        except Exception as error:  # lhotse tries several decoders, each with errors of its own
            skipped.append(Skipped(cut.id, "unreadable recording", one_line(error)))
            continue
        if writer is not None:
            features = extractor.extract_from_samples_and_store(
                samples, writer, SAMPLING_RATE, offset=cut.start, channel=cut.channel
            )
            cut = fastcopy(cut, features=fastcopy(features, recording_id=cut.recording_id))
        usable.append(cut)
    return usable, skipped


def _keep_features(cut: Cut, writer: Optional[LilcomChunkyWriter], usable: list[Cut], skipped: list[Skipped]) -> None:
    """Stores the features of a cut that has no recording."""
    if writer is None:
        skipped.append(Skipped(cut.id, "no recording, only features, which need no --on-the-fly"))
        return
    try:
        frames = load_stored(cut)
    except HraError as error:
        skipped.append(Skipped(cut.id, "unreadable features", str(error)))
        return
    features = fastcopy(
        cut.features,
        num_frames=len(frames),
        start=cut.start,
        duration=cut.duration,
        recording_id=cut.recording_id,
        storage_type=writer.name,
        storage_path=str(writer.storage_path),
        storage_key=writer.write(cut.id, frames.numpy()),
    )
    usable.append(fastcopy(cut, features=features))


def _at_16_khz(cut: Cut) -> Cut:
    """The cut with its audio resampled when read, without features, its audio files by absolute paths."""
    check_resampling(cut.sampling_rate, SAMPLING_RATE)
    cut = cut.resample(SAMPLING_RATE)
    for source in cut.recording.sources:
        if source.type == "file":
            check_text(Path(os.path.abspath(source.source)))
    sources = [
        fastcopy(source, source=os.path.abspath(source.source)) if source.type == "file" else source
        for source in cut.recording.sources
    ]
    return fastcopy(cut, recording=fastcopy(cut.recording, sources=sources))


def _start_over(folder: Path) -> None:
    """Makes `folder` ready to be written, without what an unfinished run left there. Other files stay."""
    unfinished = folder / UNFINISHED_NAME
    ours = [folder / name for name in (*MANIFESTS, CUTS_NAME, SKIPPED_NAME)]
    ours += sorted(folder.glob("feats/feats-*.lca"))
    ours += [path for split in SPLITS for path in sorted(folder.glob(f"cuts/*/{split}.jsonl.gz"))]
    in_the_way = [path for path in ours if path.exists()]
    if in_the_way and not unfinished.exists():
        raise HraError(f"{in_the_way[0]} exists and was not written by `hra prepare`; choose another --output-dir")
    for place in (folder, folder / "feats"):
        remove_leftovers(place)
    for path in in_the_way:
        path.unlink()
    unfinished.touch()


def _write_manifests(folder: Path, cuts: list[Cut]) -> dict[str, dict[str, Split]]:
    # Recordings and supervisions once each, and the features of every cut.
    for name, manifest in zip(MANIFESTS, CutSet.from_cuts(cuts).decompose()):
        if manifest is not None:
            write_manifest(folder / name, manifest)
    write_manifest(folder / CUTS_NAME, cuts)
    groups: dict[str, dict[str, list[Cut]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for cut in cuts:
        groups[cut.custom["task"]][cut.custom["split"]].append(cut)
    return {
        task: {
            split: _write_split(folder, f"cuts/{task}/{split}.jsonl.gz", members) for split, members in splits.items()
        }
        for task, splits in groups.items()
    }


def _write_split(folder: Path, relative: str, cuts: list[Cut]) -> Split:
    sha256 = write_manifest(folder / relative, cuts)
    return Split(relative, len(cuts), seconds_of(cuts), words_of(cuts), sha256)
