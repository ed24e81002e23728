"""The libraries of the extra `export`, imported where they are needed: most users need none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hra_cli.errors import HraError


def import_library(name: str) -> Any:
    """The module of that name. Raises HraError, saying what to install, where it cannot be imported."""
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        package = name.split(".")[0].replace("_", "-")
        raise HraError(
            f"{package} cannot be imported ({str(error).splitlines()[0]}); install what exporting needs: "
            "pip install -e '.[export]'"
        ) from error
