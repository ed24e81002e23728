"""A folder of head files, DIR/TASK.safetensors."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hra_cli.adapter.head_file import Head, read_head
from hra_cli.errors import HraError


class HeadFolder:
    """The heads of a folder. Each bundles its controller or has none.

    Raises HraError where there is no such folder, or it has no heads.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise HraError(f"no such folder of heads: {folder}")
        self.folder = folder
        self._files = list_heads(folder)
        if not self._files:
            raise HraError(f"{folder} has no heads (TASK.safetensors); give the folder that holds them")

    @property
    def tasks(self) -> Collection[str]:
        """Those that have a head here, sorted."""
        return self._files.keys()

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"in {self.folder}"

    def read(self, task: str) -> Head:
        """One task's head. Raises HraError where its file is not whole, or holds another's."""
        return read_head_of(self._files[task], task)

    def controller(self) -> None:
        """None: folders have no controller of their own."""


def list_heads(folder: Path) -> dict[str, Path]:
    """The head files of a folder by task, sorted; none where there is no such folder.

    No name of a task begins with a dot. Such a file is being written, or was when its process was killed.
    """
    return {file.stem: file for file in sorted(folder.glob("*.safetensors")) if not file.name.startswith(".")}


def read_head_of(file: Path, task: str) -> Head:
    """Reads the head of `task`. Raises HraError where the file holds another's."""
    head = read_head(file)
    if head.task != task:
        raise HraError(f"{file} holds the head of task '{head.task}'; name it {head.task}.safetensors")
    return head
