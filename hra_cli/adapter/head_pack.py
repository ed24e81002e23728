"""A pack: many heads and their one controller in a single file, of which a head is read without the others.

The format is in docs/head-file.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hra_cli import __version__
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import (
    HEAD_FORMAT,
    Head,
    check_backbone,
    check_format,
    check_same_bank,
    checked_controller,
    checked_head,
    controller_fingerprint,
    controller_from_tensors,
    head_metadata,
)
from hra_cli.data.task_index import check_task_names
from hra_cli.errors import HraError
from hra_cli.io.documents import parse_json
from hra_cli.io.tensors import TensorFile, fingerprint, write_safetensors

PACK_FORMAT = "hra-heads"
_AGAIN = "copy or export it again"
# What all heads of a pack have alike, in its own metadata. The rest of a head's is in its record.
_ALIKE = (
    *("format_version", "head", "width", "hidden", "inner"),
    *("backbone_fingerprint", "controller_fingerprint", "tokenizer_fingerprint"),
)
_INDEX = ("index.tasks", "index.records", "index.ends")


class HeadPack:
    """The heads of a pack, read one by one from the file, which stays open.

    Raises HraError for a file that is no whole pack. Of a head that is damaged only `read` of this one does.
    """

    def __init__(self, file: Path):
        self.file = file
        self._opened = TensorFile(file)
        self.metadata = self._opened.metadata
        check_format(file, self.metadata, PACK_FORMAT)
        missing = sorted({*_ALIKE, "index_fingerprint"} - self.metadata.keys())
        if missing:
            raise HraError(f"{file}: the metadata lack '{missing[0]}'; {_AGAIN}")
        index = {name: self._opened.tensor(name) for name in _INDEX}
        if fingerprint(index) != self.metadata["index_fingerprint"]:
            raise HraError(f"{file} is damaged: its index is not what was written; {_AGAIN}")
        self._stacked = [name for name in self._opened.names if name.startswith("heads.")]
        try:
            tasks = bytes(index["index.tasks"].numpy()).decode().split("\n")
            self._records = bytes(index["index.records"].numpy())
            self._ends: list[int] = index["index.ends"].tolist()
            rows = {len(tasks), len(set(tasks)), len(self._ends), *map(self._opened.rows, self._stacked)}
            whole = len(rows) == 1 and self._stacked
        except (TypeError, UnicodeDecodeError):
            whole = False
        if not whole:
            raise HraError(f"{file} is no pack of heads: its index makes no sense; {_AGAIN}")
        try:
            check_task_names(tasks)
        except HraError as error:
            raise HraError(f"{file}: {error}") from error
        self._rows = {task: row for row, task in enumerate(tasks)}

    @property
    def tasks(self) -> Collection[str]:
        """Those that have a head here, sorted."""
        return self._rows.keys()

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"in {self.file}"

    def read(self, task: str) -> Head:
        """One task's head. Raises HraError where it is not what was written."""
        row = self._rows[task]
        tensors = {f"head.{name[len('heads.') :]}": self._opened.row(name, row) for name in self._stacked}
        alike = {name: self.metadata[name] for name in _ALIKE}
        metadata = {"format": HEAD_FORMAT, "task": task, **alike, **self._record(row)}
        return checked_head(f"{self.file}: task '{task}'", tensors, metadata)

    def controller(self) -> Controller:
        """The controller of all heads. Raises HraError where it is not what was written."""
        names = [name for name in self._opened.names if name.startswith("controller.")]
        tensors = checked_controller(self.file, {name: self._opened.tensor(name) for name in names}, self.metadata)
        return controller_from_tensors(tensors)

    def scores(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The `scores` of every head, by task, without reading the heads."""
        for task, row in self._rows.items():
            where = f"{self.file}: 'scores' of task '{task}'"
            yield task, parse_json(self._record(row).get("scores", "{}"), dict[str, Any], where, _AGAIN)

    def _record(self, row: int) -> dict[str, str]:
        begin = self._ends[row - 1] if row else 0
        line = self._records[begin : self._ends[row]].decode(errors="replace")
        return parse_json(line, dict[str, str], f"{self.file}: record {row}", _AGAIN)


def write_pack(file: Path, heads: Sequence[Head], controller: dict[str, Tensor]) -> None:
    """Writes heads of one controller, kind and size, and that controller, whole or not at all; equal heads give equal
    bytes. It is put together in memory, which takes four times its size beside the heads.

    Raises HraError for heads that do not go together, or no .safetensors.
    """
    if file.suffix != ".safetensors":
        raise HraError(f"{file}: a pack's name ends in .safetensors")
    if not heads:
        raise HraError("no heads given")
    heads = sorted(heads, key=lambda head: head.task)
    first = heads[0]
    for head in heads[1:]:
        check_same_bank(first, head)
        check_backbone(head, first.backbone_fingerprint, first.width, first.tokenizer_fingerprint)
        if head.dtype != first.dtype:
            raise HraError(f"the head of task '{head.task}' is {head.dtype}, that of '{first.task}' {first.dtype}")
    if controller_fingerprint(controller) != first.controller_fingerprint:
        raise HraError(f"the head of task '{first.task}' needs another controller than the one given")
    records = []
    for head in heads:
        own = {name: value for name, value in head_metadata(head).items() if name not in (*_ALIKE, "format", "task")}
        records.append(json.dumps(own, sort_keys=True, ensure_ascii=False).encode())
    index = {
        "index.tasks": _as_bytes("\n".join(head.task for head in heads).encode()),
        "index.records": _as_bytes(b"".join(records)),
        "index.ends": torch.tensor([len(record) for record in records]).cumsum(0),
    }
    stacked = {
        name.replace("head.", "heads.", 1): torch.stack([head.tensors[name] for head in heads])
        for name in first.tensors
    }
    alike = {name: value for name, value in head_metadata(first).items() if name in _ALIKE}
    metadata = {
        "format": PACK_FORMAT,
        **alike,
        "hra_version": __version__,
        "index_fingerprint": fingerprint(index),
    }
    write_safetensors(file, {**stacked, **controller, **index}, metadata)


def _as_bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
