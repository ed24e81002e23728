"""Where jobs that are independent of each other run: here one after another, or on a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from hra_cli.errors import MOST_PROCESSES, HraError
from hra_cli.io.documents import parse_json, read_text

FORMS = "local:N, tcp://HOST:PORT, or a scheduler file"
CONNECT_SECONDS = 30
# What Dask's errors mean to somebody who does not know Dask, by their types' names.
_LOST = {
    "KilledWorker": "the workers that it was given to have died one after the other, out of memory?",
    "CancelledError": "the cluster has gone",
    "FutureCancelledError": "the cluster has gone",
}
T = TypeVar("T")


@contextlib.contextmanager
def cluster_executor(cluster: Optional[str]) -> Iterator[Executor]:
    """What runs jobs on `cluster`, for as long as the block lasts.

    None: this process, one job after another. `local:N`: N processes of this machine, one thread each. `tcp://HOST:PORT`:
    the Dask scheduler there. Otherwise the file that a Dask scheduler wrote (`dask scheduler --scheduler-file`). A job
    whose worker is lost is given to another.
    Raises HraError where there is no such cluster, or Dask is not installed.
    """
    if cluster is None:
        yield OneByOne()
        return
    distributed = _import_distributed()
    with contextlib.ExitStack() as stack:
        yield _connected(distributed, cluster, stack).get_executor(pure=False)


class OneByOne(Executor):
    """Runs every job where it is submitted, before `submit` returns."""

    def submit(self, job: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def outcome(job: Future[T], what: str) -> T:
    """The result of a job. Raises its HraError; for any other error (of a lost worker), one that begins so."""
    try:
        return job.result()
    except HraError:
        raise
    except Exception as error:
        name = type(error).__name__
        why = f": {_LOST[name]}" if name in _LOST else f" ({name}: {_short(error)})"
        raise HraError(what + why) from error


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise HraError("--cluster needs dask and distributed; install them with pip install -e '.[cluster]'") from error
    # What it has to say while workers come and go is for those who run clusters.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return distributed


def _connected(distributed: Any, cluster: str, stack: contextlib.ExitStack) -> Any:
    """A client of the scheduler, for as long as the stack lasts."""
    local = re.fullmatch(r"local:(\d{1,4})", cluster)
    if local:
        address = stack.enter_context(_local_cluster(distributed, cluster, int(local.group(1)))).scheduler_address
    elif re.match(r"[a-z]+://", cluster):
        address = cluster
    elif Path(cluster).is_file():
        address = _scheduler_of(Path(cluster))
    else:
        raise HraError(f"--cluster {cluster}: no such file; give {FORMS}")
    try:
        # A client waits without end for a port that takes connections and says nothing.
        with ThreadPoolExecutor(1) as thread:  # where a loop of somebody else may run already
            thread.submit(asyncio.run, asyncio.wait_for(_answer(distributed, address), CONNECT_SECONDS)).result()
        return stack.enter_context(distributed.Client(address, timeout=CONNECT_SECONDS))
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        why = _short(error) or f"in {CONNECT_SECONDS} s"
        raise HraError(f"--cluster {cluster}: no Dask scheduler answers ({why}); give {FORMS}") from error


def _local_cluster(distributed: Any, cluster: str, workers: int) -> Any:
    if not 1 <= workers <= MOST_PROCESSES:
        raise HraError(f"--cluster {cluster}: from 1 to {MOST_PROCESSES:,} processes")
    try:
        with _ignoring_interrupts():  # Ctrl-C is for this process, which then ends the others
            return distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
            )
    except (OSError, RuntimeError) as error:
        raise HraError(f"--cluster {cluster}: its processes do not start ({_short(error)}); try fewer") from error


@dataclass(frozen=True)
class _SchedulerFile:
    address: str


def _scheduler_of(file: Path) -> str:
    """The address in a scheduler file."""
    remedy = "give the file that `dask scheduler --scheduler-file` has written"
    text = read_text(file, remedy)
    return parse_json(text, _SchedulerFile, f"--cluster {file}", remedy, unknown="ignore").address


async def _answer(distributed: Any, address: str) -> None:
    security = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, connection_args=security) as scheduler:
        await scheduler.identity()


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started within it ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
