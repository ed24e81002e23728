"""One writer per folder, and files that cannot be written."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from builders import refused

from hra_cli.errors import HraError
from hra_cli.io.files import remove_leftovers, replacing, write_text, writing
from hra_cli.io.lock import LOCK_NAME, one_writer

HOLD = "from pathlib import Path; from hra_cli.io.lock import one_writer; import sys, time\n" + textwrap.dedent("""
    with one_writer(Path(sys.argv[1])):
        print("locked", flush=True)
        time.sleep(600)
""")


@pytest.fixture
def other_writer(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "exp")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_is_told_of_the_first(tmp_path, other_writer):
    with refused(f"process {other_writer.pid} on", f"is writing {tmp_path / 'exp'}"), one_writer(tmp_path / "exp"):
        pass
    assert (tmp_path / "exp" / LOCK_NAME).exists()


def test_a_lock_ends_with_its_process(tmp_path, other_writer):
    other_writer.kill()
    other_writer.wait()
    assert (tmp_path / "exp" / LOCK_NAME).exists()
    with one_writer(tmp_path / "exp"):
        (tmp_path / "exp" / "x").touch()
    assert os.listdir(tmp_path / "exp") == ["x"]


def test_a_worker_that_outlives_its_killed_writer_holds_no_lock(tmp_path):
    # In one piece, since two processes write.
    code = HOLD.replace('print("locked"', "import os; sys.stdout.write(f'{os.fork() or os.getpid()}\\n'); print(end=''")
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "exp")], stdout=subprocess.PIPE)
    worker, same = int(writer.stdout.readline()), int(writer.stdout.readline())
    assert worker == same != writer.pid
    try:
        writer.kill()
        writer.wait()
        with one_writer(tmp_path / "exp"):
            os.kill(worker, 0)  # it is there still
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_writer_that_is_about_to_end_is_waited_for(tmp_path, other_writer):
    with subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {other_writer.pid}"]), one_writer(tmp_path / "exp", 60):
        pass


def test_a_folder_in_which_nothing_was_written_is_not_left_behind(tmp_path):
    with refused("a mistake"), one_writer(tmp_path / "new" / "exp"):
        raise HraError("a mistake")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with refused(f"cannot write {tmp_path / 'file' / 'exp'}"), one_writer(tmp_path / "file" / "exp"):
        pass


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "x.txt", "before")
    with refused(f"cannot write {tmp_path / 'x.txt'}: No space left"), replacing(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "before"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path):
    with refused("cannot write y: No space left"), writing("y"), open("/dev/full", "w") as stream:
        stream.write("x")


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".0123abcd.theo.safetensors", ".hidden", "theo.safetensors", ".0123abcd"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".0123abcd", ".hidden", "theo.safetensors"]


def test_a_folder_whose_name_is_no_text_is_not_written(tmp_path):
    with refused(r"the name .*exp\\udce9 is no UTF-8 text", "rename it"), one_writer(tmp_path / "exp\udce9"):
        pass
    assert not list(tmp_path.iterdir())
