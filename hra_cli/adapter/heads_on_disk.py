"""An adapter whose heads stay on disk, in a folder or in a pack: no more than `max_heads` are in memory at a time."""

from __future__ import annotations

import shlex
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Optional, Protocol

from hra_cli.adapter.adapter import Adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import Head, check_backbone, check_same_bank, controller_of
from hra_cli.adapter.heads import new_bank
from hra_cli.errors import HraError, did_you_mean, nearest


class HeadSource(Protocol):
    """Where heads lie."""

    @property
    def tasks(self) -> Collection[str]:
        """Those that have a head here, sorted."""

    @property
    def where(self) -> str:
        """The place, for messages: "in heads/"."""

    def read(self, task: str) -> Head:
        """One task's head. Raises HraError where it is not whole."""

    def controller(self) -> Optional[Controller]:
        """The controller of all of them, where it is kept once for all."""


class HeadsOnDisk(Adapter):
    """An adapter that reads a task's head when a batch needs it. The least recently used head makes room for it.

    Heads in memory are rows of one bank of fixed size, from which a batch is gathered as from any other.
    """

    def __init__(self, source: HeadSource, tasks: Sequence[str], first: Head, controller: Controller, max_heads: int):
        """first: the head of one of the tasks; all others must have its controller, kind and sizes."""
        self._size = min(max_heads, len(tasks))
        super().__init__(controller, new_bank(first.kind, self._size, first.sizes), tasks)
        self._source = source
        self._first = first
        self._in_memory: OrderedDict[str, int] = OrderedDict()  # the rows of tasks, the least recently used first
        self.requires_grad_(False)

    def check(self, tasks: Sequence[str]) -> None:
        different = len(set(self.serving(tasks)))
        if different > self._size:
            raise HraError(
                f"a batch has {different} different tasks, and --max-heads is {self._size}; "
                f"raise it to {different} or more, or lower --max-duration"
            )

    def rows(self, tasks: Sequence[str]) -> list[int]:
        """Where the tasks' heads are in the bank, read where they are not in memory. Raises HraError for one that
        cannot be applied."""
        self.check(tasks)
        serving = self.serving(tasks)
        needed = dict.fromkeys(serving)
        # First those that are here, so that reading the others does not push them out.
        for task in needed:
            if task in self._in_memory:
                self._in_memory.move_to_end(task)
        for task in needed:
            if task not in self._in_memory:
                self._read(task)
        return [self._in_memory[task] for task in serving]

    def _read(self, task: str) -> None:
        head = self._source.read(task)
        check_backbone(head, self._first.backbone_fingerprint, self._first.width, self._first.tokenizer_fingerprint)
        check_same_bank(self._first, head)
        row = len(self._in_memory)
        if row == self._size:
            _, row = self._in_memory.popitem(last=False)
        self.bank.load(row, head.tensors)
        self._in_memory[task] = row


def serve_heads(
    source: HeadSource,
    backbone_fingerprint: str,
    width: int,
    tokenizer_fingerprint: Optional[str] = None,
    tasks: Optional[Sequence[str]] = None,
    controller: Optional[Controller] = None,
    max_heads: Optional[int] = None,
) -> HeadsOnDisk:
    """An adapter that serves `tasks` (None: all that are there) with the heads of `source`.

    Reads one head, to know their sizes; the others are read when they are needed. controller: for heads that bundle
    none. max_heads: how many are in memory at a time, None: all. Raises HraError for a task without a head, and for a
    head that cannot be applied.
    """
    if max_heads is not None and max_heads < 1:
        raise HraError(f"--max-heads {max_heads} must be 1 or more")
    check_heads_of(tasks or (), source.tasks, source.where)
    served = list(tasks or source.tasks)
    first = source.read(served[0])
    check_backbone(first, backbone_fingerprint, width, tokenizer_fingerprint)
    own = controller_of([first], controller or source.controller())
    return HeadsOnDisk(source, served, first, own, max_heads or len(served))


def check_heads_of(tasks: Sequence[str], known: Collection[str], where: str) -> None:
    """Raises HraError for one of the tasks that is not among `known`, those that have a head `where`."""
    missing = next((task for task in tasks if task not in known), None)
    if missing is None:
        return
    remedy = did_you_mean(missing, known)
    others = [f"--task {shlex.quote(task)}" for task in tasks if task in known]
    if others and nearest(missing, known) is None:
        remedy = f"; those that have one: {' '.join(others[:10])}" + (" …" if len(others) > 10 else "")
    raise HraError(f"no head for task '{missing}' {where}{remedy}")
