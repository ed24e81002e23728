"""k2, imported where it is needed: its wheels fit exactly one torch, so it may well be missing."""

from __future__ import annotations

from typing import Any

import torch

from hra_cli.errors import HraError


def import_k2() -> Any:
    """The module k2. Raises HraError, saying what to install, where it is missing or does not fit torch."""
    try:
        import k2
    except (ImportError, OSError) as error:
        raise HraError(
            f"k2 cannot be imported with torch {torch.__version__} ({str(error).splitlines()[0]}); install the k2 "
            "wheel for this torch, or both from requirements/k2.txt and requirements/k2-wheel.txt"
        ) from error
    return k2
