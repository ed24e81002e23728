"""How a head is exported. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportOptions:
    """bundle: put the controller into the file, so that it works alone. dtype: what the parameters are stored in."""

    bundle: bool = True
    dtype: str = "float32"
