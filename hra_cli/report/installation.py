"""What is installed here and what can compute: what `hra info` shows without a path."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

from hra_cli import __version__
from hra_cli.errors import HraError
from hra_cli.nn.device import available_devices
from hra_cli.report.facts import Description
from hra_cli.transducer.k2_library import import_k2


def describe_installation() -> Description:
    """Versions of hra and of what it stands on, and the devices that there are."""
    facts = {
        "hra": __version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "k2": _k2(),
    }
    rows = [[name, what] for name, what in available_devices()]
    return Description(f"hra {__version__}", facts, ["device", "what it is"], rows)


def _k2() -> str:
    """k2's version, or why it cannot be imported here."""
    try:
        import_k2()
    except HraError as error:
        return str(error)
    return importlib.metadata.version("k2")
