"""`hra`, and programs that use it, in processes that start at once.

Most of what a short command takes is the import of torch, lhotse and so on, some three seconds. So one process imports
them and nothing else, and forks another whenever a command is to be run. That has its own memory, folder, environment,
output and exit status, like any process. What a test says about starting, or about a terminal, it says of a new one.

    python warm.py serve FD             the process that forks; FD is a socket that listens
    python warm.py hra ARGUMENT …       these two are for shell scripts, see `tools`
    python warm.py python FILE ARGUMENT …
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

SOCKET = "HRA_WARM"
# Of what commands import when they run, all that takes long.
IMPORTED = (
    "hra_cli.app", "hra_cli.comparison.run", "hra_cli.data.preparation", "hra_cli.recognition.decode",
    "hra_cli.recognition.decode_audio", "hra_cli.report.write", "hra_cli.training.train_heads",
    "k2", "pydantic.main", "scipy.signal",
)  # fmt: skip
HRA = "from hra_cli.__main__ import main; main()"
FILE = """
import os, runpy, sys
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(os.path.abspath(sys.argv[0]), run_name="__main__")
"""


def run(*arguments: object, code: str = HRA, **where: Any) -> subprocess.CompletedProcess[str]:
    """Runs hra, or other `code` as `python -c` does, to its end. where: cwd and env, as subprocess has them."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors, open(os.devnull) as nothing:
        streams = [one.fileno() for one in (nothing, out, errors)]
        status = _status(path_of_socket(), [str(one) for one in arguments], code, streams, **where)
        for file in (out, errors):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read(), errors.read())


def tools(folder: Path) -> dict[str, str]:
    """The environment of a shell script whose `hra` and `python` are run so. folder: where these two are to be."""
    import shlex

    for name in ("hra", "python"):
        # Without what a user has installed, which takes longer to look through than all that these do.
        command = shlex.join([sys.executable, "-S", "-E", __file__, name])
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return {SOCKET: path_of_socket(), "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}


@functools.cache
def path_of_socket() -> str:
    """Of the process that forks for this one, which ends with it."""
    import atexit
    import subprocess
    import tempfile

    # pytest's folders have names too long for a socket.
    path = f"{tempfile.mkdtemp(prefix='hra-warm-')}/socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        command = [sys.executable, __file__, "serve", str(listening.fileno())]
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        serving = subprocess.Popen(command, pass_fds=[listening.fileno()], stdin=subprocess.PIPE, **nowhere)
    atexit.register(serving.communicate)
    return path


def _status(
    path: str,
    arguments: list[str],
    code: str,
    streams: list[int],
    begun: Callable[[int], None] = lambda process: None,
    **where: Any,
) -> int:
    """The exit status of what was run, or a signal's number with a minus.

    streams: its input, output and errors. begun: is told the number of the process that runs it.
    """
    asked = {"arguments": arguments, "code": code, "cwd": str(where.get("cwd") or os.getcwd())}
    asked["env"] = {**(where.get("env") or os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [b"."], streams)
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile() as answer:
            begun(int(answer.readline()))
            return int(answer.readline())


def serve(listening: socket.socket) -> dict[str, Any]:
    """Returns what to run, in a new process for each; ends with standard input, which whoever asks holds open."""
    import select

    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if sys.stdin in ready:
            path = Path(listening.getsockname())
            path.unlink()
            path.parent.rmdir()
            os._exit(0)
        connection, _ = listening.accept()
        # One process waits for the other, so that several can run at a time.
        if os.fork() == 0:
            listening.close()
            _, streams, _, _ = socket.recv_fds(connection, 1, 3)
            with connection.makefile() as lines:
                asked = json.loads(lines.readline())
            process = os.fork()
            if process == 0:
                connection.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                return asked
            connection.sendall(b"%d\n" % process)
            ended, _, _ = select.select([os.pidfd_open(process), connection], [], [])
            if connection in ended:  # whoever asked has gone
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            with contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        connection.close()


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what != "serve":
        code = HRA if what == "hra" else FILE
        status = _status(os.environ[SOCKET], arguments, code, [0, 1, 2], begun=_pass_signals_on)
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        sys.exit(status)

    import gc
    import importlib

    for module in IMPORTED:
        with contextlib.suppress(ModuleNotFoundError):  # without k2
            importlib.import_module(module)
    gc.freeze()  # so that collections in other processes do not touch, and copy, what is here
    asked = serve(socket.socket(fileno=int(arguments[0])))
    # Those that are there have found out what they are for before it was what it is now.
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["hra" if asked["code"] == HRA else "-c", *asked["arguments"]]
    sys.path[0] = ""
    _end_with(asked["code"])


def _pass_signals_on(process: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))


def _end_with(code: str) -> None:
    """Runs it and ends the process as Python does, but for what is in memory, whose release would copy all of it."""
    import atexit
    import threading
    import traceback

    status = 0
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
