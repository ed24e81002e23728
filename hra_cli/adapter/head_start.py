"""Where onboarded heads start: the common head of the controller's joint training, or any other that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from hra_cli.adapter.adapter import Adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import adapter_from_heads, read_head
from hra_cli.errors import HraError

_ENDING = ".safetensors"


def find_start(given: str, controller: Path) -> Path:
    """The head file that is meant: `given` itself where it ends in .safetensors, and else the head of that name beside
    the controller's file, in heads/ or in the same folder.

    Raises HraError where there is none.
    """
    if given.endswith(_ENDING):
        return Path(given)
    beside = controller.parent
    places = [beside / "heads" / f"{given}{_ENDING}", beside / f"{given}{_ENDING}"]
    found = next((file for file in places if file.is_file()), None)
    if found is None:
        raise HraError(
            f"--start: no head '{given}' beside {controller}: there is no {places[0]} and no {places[1].name} in "
            f"{beside}; give a head's file, NAME{_ENDING}"
        )
    return found


def read_start(
    file: Path, controller: Controller, backbone_fingerprint: str, width: int, tokenizer_fingerprint: Optional[str]
) -> Adapter:
    """The head to start from, as the only one of an adapter. Raises HraError for one that could not be applied with
    this controller, on the backbone of that fingerprint and width."""
    return adapter_from_heads([read_head(file)], backbone_fingerprint, width, tokenizer_fingerprint, controller)
