"""Cuts to a data folder that training reads: checked, at 16 kHz mono, with features, split by task."""

from __future__ import annotations

import collections
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Optional

import torch
from lhotse import CutSet, LilcomChunkyWriter, load_manifest
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.assignment import refuse_duplicates
from hra_cli.data.audio import mono_audio, one_line
from hra_cli.data.features import SAMPLING_RATE, SHORTEST_SECONDS, fbank
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.skipped import SKIPPED_NAME, Skipped, write_skipped
from hra_cli.data.splits import SPLITS
from hra_cli.data.task_index import INDEX_NAME, Split, TaskIndex, check_task_name, load_tasks
from hra_cli.data.tokenizer import Tokenizer
from hra_cli.errors import HraError

# A file that is there while a folder is being written: the next run may then remove what an unfinished one left.
UNFINISHED_NAME = ".hra-prepare-unfinished"
MANIFESTS = ("recordings.jsonl.gz", "supervisions.jsonl.gz", "features.jsonl.gz", "cuts.jsonl.gz")
# One archive of features and one step of the progress bar; independent of num_jobs, so that results are too.
CUTS_PER_CHUNK = 100


def read_cuts(path: Path) -> CutSet:
    """Reads a lhotse cut manifest. Raises `HraError` where it is missing or something else."""
    if not path.is_file():
        raise HraError(f"no such cut manifest: {path}")
    try:
        cuts = load_manifest(path)
    except Exception as error:  # lhotse guesses the kind of manifest and fails in as many ways
        raise HraError(f"{path} is not a lhotse cut manifest: {one_line(error)}") from error
    if not isinstance(cuts, CutSet):
        raise HraError(f"{path} is not a lhotse cut manifest but a {type(cuts).__name__}; give its cuts.jsonl.gz")
    return cuts


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
    if not (output_dir / INDEX_NAME).exists():
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
    num_jobs: int = PrepareOptions.num_jobs,
    on_the_fly: bool = PrepareOptions.on_the_fly,
    tokenizer: Optional[Tokenizer] = None,
    progress: Optional[Progress] = None,
) -> TaskIndex:
    """Checks every cut, stores features unless `on_the_fly`, and writes the data folder, `tasks.json` last.

    cuts:      each with one supervision and "task" and "split" in its `custom`, as `fsdd_cuts` and
               `cuts_by_task` make them.
    arguments: what `cuts` were made from, as JSON. Where `output_dir` is finished and was made from the same,
               nothing is done.
    skipped:   what could not be used before this point; it is listed with the rest in `skipped.tsv`.

    An unfinished folder is started over. Raises `HraError` where no cut can be used, the folder was made from
    other arguments, or files in the way were not written by this function.
    """
    if num_jobs < 1:
        raise HraError(f"--num-jobs {num_jobs} must be 1 or more")
    index = find_prepared(output_dir, arguments, on_the_fly=on_the_fly, tokenizer=tokenizer)
    if index is not None:
        return index
    todo = sorted(cuts, key=lambda cut: (cut.custom["task"], SPLITS.index(cut.custom["split"]), cut.id))
    refuse_duplicates(todo)
    for task in sorted({cut.custom["task"] for cut in todo}):
        check_task_name(task)

    # Stored paths must hold from any working directory.
    folder = Path(os.path.realpath(output_dir))  # unlike resolve, it takes links that go in circles for what they are
    try:
        _start_over(folder)
        left_out = list(skipped)
        todo = list(_with_usable_text(todo, tokenizer, left_out))
        usable = _read_audio(todo, None if on_the_fly else folder / "feats", num_jobs, progress, left_out)
        if left_out:
            write_skipped(folder / SKIPPED_NAME, left_out)
        reasons = dict(sorted(collections.Counter(one.reason for one in left_out).items()))
        if not usable:
            counts = ", ".join(f"{count} × {reason}" for reason, count in reasons.items()) or "there are no cuts"
            where = f"; see {output_dir / SKIPPED_NAME}" if left_out else ""
            raise HraError(f"no utterance can be used: {counts}{where}")
        index = TaskIndex(
            data_dir=output_dir,
            tasks=_write_manifests(folder, usable),
            features="on-the-fly" if on_the_fly else "stored",
            arguments=_all_arguments(arguments, on_the_fly, tokenizer),
            skipped=reasons,
        )
        index.save()
        (folder / UNFINISHED_NAME).unlink()
    except OSError as error:
        raise HraError(f"cannot write to {output_dir}: {error.strerror or error}") from error
    return index


def _all_arguments(arguments: Mapping[str, Any], on_the_fly: bool, tokenizer: Optional[Tokenizer]) -> dict[str, Any]:
    return {
        **arguments,
        "on-the-fly": on_the_fly,
        "tokenizer-sha256": tokenizer.fingerprint if tokenizer is not None else None,
    }


def _with_usable_text(cuts: Iterable[Cut], tokenizer: Optional[Tokenizer], skipped: list[Skipped]) -> Iterator[Cut]:
    for cut in cuts:
        text = cut.supervisions[0].text or ""
        if not text.strip():
            skipped.append(Skipped(cut.id, "empty transcript"))
            continue
        unknown = tokenizer.unknown_characters(text) if tokenizer is not None else ""
        if unknown:
            skipped.append(Skipped(cut.id, "characters the tokenizer lacks", unknown))
            continue
        yield cut


def _read_audio(
    cuts: list[Cut],
    feats_dir: Optional[Path],
    num_jobs: int,
    progress: Optional[Progress],
    skipped: list[Skipped],
) -> list[Cut]:
    """Reads every cut's audio once, in `num_jobs` processes; the cuts that are usable, in order."""
    if feats_dir is not None:
        feats_dir.mkdir(exist_ok=True)
    chunks = [cuts[start : start + CUTS_PER_CHUNK] for start in range(0, len(cuts), CUTS_PER_CHUNK)]
    archives = [feats_dir / f"feats-{number:06d}.lca" if feats_dir else None for number in range(len(chunks))]
    bar = progress.add_task("reading audio", total=len(cuts), note="") if progress else None
    usable: list[Cut] = []
    for chunk, (good, bad) in zip(chunks, _map_chunks(chunks, archives, min(num_jobs, len(chunks)))):
        usable += good
        skipped += bad
        if progress is not None and bar is not None:
            progress.update(bar, advance=len(chunk), note=f"{len(skipped)} skipped" if skipped else "")
    return usable


def _map_chunks(
    chunks: list[list[Cut]], archives: list[Optional[Path]], num_jobs: int
) -> Iterator[tuple[list[Cut], list[Skipped]]]:
    if num_jobs <= 1:
        # One thread as in the workers, since the number of threads can change the last bits of a sum.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from map(_read_chunk, chunks, archives)
        finally:
            torch.set_num_threads(threads)
        return
    # "spawn", since a fork of a process that has run torch's threads can hang.
    pool = ProcessPoolExecutor(num_jobs, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        yield from pool.map(_read_chunk, chunks, archives)
    except BrokenProcessPool as error:
        raise HraError("a process that read audio was killed, out of memory?; try --num-jobs 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


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


def _read_chunk(cuts: list[Cut], archive: Optional[Path]) -> tuple[list[Cut], list[Skipped]]:
    if archive is None:
        return _read_cuts(cuts, None)
    with LilcomChunkyWriter(archive) as writer:
        return _read_cuts(cuts, writer)


def _read_cuts(cuts: list[Cut], writer: Optional[LilcomChunkyWriter]) -> tuple[list[Cut], list[Skipped]]:
    extractor = fbank()
    usable, skipped = [], []
    for cut in cuts:
        if cut.duration < SHORTEST_SECONDS:
            skipped.append(Skipped(cut.id, "too short", f"{cut.duration:.3f} s"))
            continue
        try:
            cut = _at_16_khz(cut)
            samples = mono_audio(cut)
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


def _at_16_khz(cut: Cut) -> Cut:
    """The cut with its audio resampled when read, without features, its audio files by absolute paths."""
    cut = cut.resample(SAMPLING_RATE)
    sources = [
        fastcopy(source, source=os.path.abspath(source.source)) if source.type == "file" else source
        for source in cut.recording.sources
    ]
    return fastcopy(cut, recording=fastcopy(cut.recording, sources=sources))


def _start_over(folder: Path) -> None:
    """Makes `folder` ready to be written, without what an unfinished run left there. Other files stay."""
    unfinished = folder / UNFINISHED_NAME
    ours = [folder / name for name in (*MANIFESTS, SKIPPED_NAME)]
    ours += sorted(folder.glob("feats/feats-*.lca"))
    ours += [path for split in SPLITS for path in sorted(folder.glob(f"cuts/*/{split}.jsonl.gz"))]
    in_the_way = [path for path in ours if path.exists()]
    if in_the_way and not unfinished.exists():
        raise HraError(f"{in_the_way[0]} exists and was not written by `hra prepare`; choose another --output-dir")
    for path in [*in_the_way, *folder.glob(f".*.{INDEX_NAME}")]:
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished.touch()


def _write_manifests(folder: Path, cuts: list[Cut]) -> dict[str, dict[str, Split]]:
    everything = CutSet.from_cuts(cuts)
    everything.decompose(folder)
    everything.to_file(folder / "cuts.jsonl.gz")
    groups: dict[str, dict[str, list[Cut]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for cut in cuts:
        groups[cut.custom["task"]][cut.custom["split"]].append(cut)
    tasks: dict[str, dict[str, Split]] = {}
    for task, splits in groups.items():
        tasks[task] = {}
        for split, members in splits.items():
            relative = f"cuts/{task}/{split}.jsonl.gz"
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            CutSet.from_cuts(members).to_file(folder / relative)
            tasks[task][split] = Split(
                cuts=relative,
                utterances=len(members),
                seconds=round(sum(cut.duration for cut in members), 3),
                words=sum(len(cut.supervisions[0].text.split()) for cut in members),
            )
    return tasks
