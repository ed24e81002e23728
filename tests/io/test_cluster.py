"""Clusters that jobs run on: those that are not there, and workers that die."""

import os
import socket
import sys
import threading
import time
from concurrent.futures import Future

import pytest
from builders import refused
from dask_workers import dask_workers

from hra_cli.io.cluster import cluster_executor, outcome


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("local:0", "from 1 to 1,024"),
        ("nowhere.json", "no such file; give local:N"),
        ("tcp://127.0.0.1:9", "no Dask scheduler answers (in 1 s)"),
        ("tcp://127.0.0.1:x", "no Dask scheduler answers"),
        ("morse://127.0.0.1:9", "no Dask scheduler answers"),
    ],
)
def test_no_such_cluster(monkeypatch, tmp_path, cluster, message):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hra_cli.io.cluster.CONNECT_SECONDS", 1)
    with refused(f"--cluster {cluster}: ", message), cluster_executor(cluster):
        pass


@pytest.mark.parametrize("content", ["", "garbage", "{}", "[1]", '{"address": 5}', "\udcff"])
def test_a_file_that_no_scheduler_has_written(tmp_path, content):
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with refused(str(file), "`dask scheduler --scheduler-file`"), cluster_executor(str(file)):
        pass


def test_what_takes_connections_and_says_nothing_is_no_scheduler(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("hra_cli.io.cluster.CONNECT_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with refused("no Dask scheduler answers"), cluster_executor(f"tcp://127.0.0.1:{silent.getsockname()[1]}"):
            pass


def test_by_a_scheduler_file_jobs_run_where_it_says(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        file = tmp_path / "scheduler.json"
        file.write_text(f'{{"type": "Scheduler", "address": "{cluster.scheduler_address}", "workers": {{}}}}')
        with cluster_executor(str(file)) as executor:
            assert executor.submit(os.getpid).result() != os.getpid()


def test_workers_that_die_one_after_the_other_are_one_line():
    pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), cluster_executor("local:1") as executor:
        job = executor.submit(os._exit, 1)
        with refused("job seven failed: the workers that it was given to have died"):
            outcome(job, "job seven failed")


def test_a_cluster_that_goes_is_one_line():
    job = Future()
    job.cancel()
    with refused("job seven failed: the cluster has gone"):
        outcome(job, "job seven failed")


def test_a_worker_that_is_killed_while_it_starts_is_one_line():
    pytest.importorskip("distributed")
    pytest.importorskip("psutil")
    done = threading.Event()

    def kill_what_starts():
        while not done.is_set():
            for worker in dask_workers():
                worker.kill()
            time.sleep(0.01)

    killer = threading.Thread(target=kill_what_starts)
    killer.start()
    try:
        with refused("--cluster local:1: its processes do not start"), cluster_executor("local:1"):
            pass
    finally:
        done.set()
        killer.join()


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused(r"install them with pip install -e '\.\[cluster\]'"), cluster_executor("local:1"):
        pass
