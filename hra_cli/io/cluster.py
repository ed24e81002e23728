"""Where jobs that are independent of each other run: here one after another, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from hra_cli.errors import MOST_PROCESSES, HraError

FORMS = "local:N, tcp://HOST:PORT, or a scheduler file"
CONNECT_SECONDS = 30
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
        raise HraError(f"{what} ({type(error).__name__}: {' '.join(str(error).split())})") from error


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise HraError("--cluster needs dask and distributed; install them with pip install -e '.[cluster]'") from error
    # What it has to say while workers come and go is for those who run clusters.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return distributed


def _connected(distributed: Any, cluster: str, stack: contextlib.ExitStack) -> Any:
    local = re.fullmatch(r"local:(\d{1,4})", cluster)
    try:
        if local:
            workers = int(local.group(1))
            if not 1 <= workers <= MOST_PROCESSES:
                raise HraError(f"--cluster {cluster}: from 1 to {MOST_PROCESSES:,} processes")
            with _ignoring_interrupts():  # Ctrl-C is for this process, which then ends the others
                own = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
                )
            return stack.enter_context(distributed.Client(stack.enter_context(own), timeout=CONNECT_SECONDS))
        if re.match(r"[a-z]+://", cluster):
            client = distributed.Client(cluster, timeout=CONNECT_SECONDS)
        elif Path(cluster).is_file():
            client = distributed.Client(scheduler_file=cluster, timeout=CONNECT_SECONDS)
        else:
            raise HraError(f"--cluster {cluster}: no such file; give {FORMS}")
        return stack.enter_context(client)
    except (OSError, ValueError, TimeoutError) as error:
        why = " ".join(str(error).split())[:200]
        raise HraError(f"--cluster {cluster}: no Dask scheduler answers ({why}); give {FORMS}") from error


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started within it ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
