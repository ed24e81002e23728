"""Reading the audio of cuts, once: what can be used of them, at 16 kHz; in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

import torch
from lhotse.cut import Cut
from lhotse.cut.set import deserialize_cut
from lhotse.utils import fastcopy
from rich.progress import Progress

from hra_cli.data.audio import mono_audio, one_line
from hra_cli.data.chunk_archive import Archive, Archives, ChunkWriter
from hra_cli.data.cut_store import CutStore
from hra_cli.data.features import SAMPLING_RATE, SHORTEST_SECONDS
from hra_cli.data.resampling import check_resampling
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.io.cluster import outcome
from hra_cli.io.files import check_text, remove_leftovers, writing

# What becomes of each cut of a chunk: the cut that is used in its place, None where that is itself, or why none is.
Read = list[Union[Cut, Skipped, None]]
# A chunk is what `Cut.to_dict` gives of its cuts: that goes to other processes faster than cuts do.
Chunk = list[dict[str, Any]]
ReadChunk = Callable[[Chunk, Archive], Read]
Chunks = Iterable[tuple[Chunk, Archive]]
# One archive of features and one step of the progress bar; independent of num_jobs, so that results are too.
CUTS_PER_CHUNK = 100
# Chunks that are handed out before the first of them has come back; more than a cluster has workers.
CHUNKS_AHEAD = 1000


@dataclass
class AudioReader:
    """Reads every cut's audio once, in `num_jobs` processes or by `cluster`.

    archives: what is kept of each chunk of cuts. cluster: what `cluster_executor` gives; None for none. skipped: gets
    what cannot be used.
    """

    archives: Archives
    allow_commands: bool
    num_jobs: int
    cluster: Optional[Executor]
    progress: Optional[Progress]
    skipped: list[Skipped]
    chunks: int = 0

    def read(self, store: CutStore, rows: Sequence[int], keep_before: bool = False) -> None:
        """Puts the cuts as they are used in the place of those in these rows, in their order, and removes those that
        cannot be used. keep_before: as `CutStore.replace` takes it."""
        folder, first = self.archives.folder, self.chunks
        if folder is not None:
            with writing(folder):
                folder.mkdir(exist_ok=True)
        chunks = [rows[start : start + CUTS_PER_CHUNK] for start in range(0, len(rows), CUTS_PER_CHUNK)]
        bar = self.progress.add_task("reading audio", total=len(rows), note="") if self.progress else None
        read_chunk = partial(_read_chunk, allow_commands=self.allow_commands)
        work = (
            (store.contents_of(chunk), self.archives.of_chunk(number)) for number, chunk in enumerate(chunks, first)
        )
        if self.cluster is not None:
            found = _on_cluster(read_chunk, work, self.cluster)
        else:
            found = _in_processes(read_chunk, work, min(self.num_jobs, len(chunks)))
        for number, (chunk, read) in enumerate(zip(chunks, found), first):
            bad = {row: one for row, one in zip(chunk, read) if isinstance(one, Skipped)}
            other = {row: one for row, one in zip(chunk, read) if one is not None and row not in bad}
            store.replace(list(other), other.values(), keep_before, number)
            store.remove(bad)
            self.skipped += bad.values()
            if self.progress is not None and bar is not None:
                note = f"{len(self.skipped)} skipped" if self.skipped else ""
                self.progress.update(bar, advance=len(chunk), note=note)
        self.chunks += len(chunks)
        if folder is not None:
            remove_leftovers(folder)  # of a worker that was lost


def _in_processes(read_chunk: ReadChunk, work: Chunks, num_jobs: int) -> Iterator[Read]:
    if num_jobs <= 1:
        # One thread as in the workers, since the number of threads can change the last bits of a sum.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for chunk, archive in work:
                yield read_chunk(chunk, archive)
        finally:
            torch.set_num_threads(threads)
        return
    # "spawn", since a fork of a process that has run torch's threads can hang.
    pool = ProcessPoolExecutor(num_jobs, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        for _, job in _in_order(pool, read_chunk, work, 4 * num_jobs):
            yield job.result()
    except BrokenProcessPool as error:
        raise HraError("a process that read audio was killed, out of memory?; try --num-jobs 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _on_cluster(read_chunk: ReadChunk, work: Chunks, cluster: Executor) -> Iterator[Read]:
    for what, job in _in_order(cluster, partial(_by_one_thread, read_chunk), work, CHUNKS_AHEAD):
        yield outcome(job, f"reading the audio of {what} failed on the cluster")


def _in_order(
    executor: Executor, read_chunk: ReadChunk, work: Chunks, ahead: int
) -> Iterator[tuple[str, Future[Read]]]:
    """What each chunk is called and its job, in order; at most so many are handed out or wait to be taken."""
    pending: deque[tuple[str, Future[Read]]] = deque()
    for chunk, archive in work:
        what = f"the cuts from '{chunk[0]['id']}' to '{chunk[-1]['id']}'"
        pending.append((what, executor.submit(read_chunk, chunk, archive)))
        if len(pending) >= ahead:
            yield pending.popleft()
    while pending:
        yield pending.popleft()


def _by_one_thread(read_chunk: ReadChunk, chunk: Chunk, archive: Archive) -> Read:
    torch.set_num_threads(1)  # as in the workers of this machine
    return read_chunk(chunk, archive)


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


def _read_chunk(chunk: Chunk, archive: Archive, allow_commands: bool) -> Read:
    cuts = [deserialize_cut(content) for content in chunk]
    # Whole or not at all: a worker that a cluster takes for lost may still be writing when another does its work again.
    with archive.writer() as writer:
        found = [_read_cut(cut, writer, allow_commands) for cut in cuts]
    usable = iter(writer.finished([one for one in found if not isinstance(one, Skipped)]))
    read = [one if isinstance(one, Skipped) else next(usable) for one in found]
    return [None if one == cut else one for cut, one in zip(cuts, read)]


def _read_cut(cut: Cut, writer: ChunkWriter, allow_commands: bool) -> Union[Cut, Skipped]:
    if cut.duration < SHORTEST_SECONDS:
        return Skipped(cut.id, "too short", f"{cut.duration:.3f} s")
    if not cut.has_recording:
        return writer.add_features(cut)
    try:
        cut = _at_16_khz(cut)
        samples = mono_audio(cut, allow_commands)
    except Exception as error:  # lhotse tries several decoders, each with errors of its own
        return Skipped(cut.id, "unreadable recording", one_line(error))
    return writer.add(cut, samples)


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
