"""The processes that work for `--cluster local:N`."""

import contextlib


def dask_workers():
    """Those below this process, as psutil has them."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found
