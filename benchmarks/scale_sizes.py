"""Bytes that grow with the number of tasks: the formulas of docs/scale.md, and the part `index` of scale.py.

All is float32. The formulas know tensors by their shapes: matrices are moved by Muon, all else by AdamW.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from hra_cli.adapter.head_kinds import HeadSizes, head_kind
from hra_cli.data.task_index import Split, TaskIndex, load_tasks
from hra_cli.scoring.wer import ErrorCounts
from hra_cli.training.run_state import RunState
from hra_cli.training.selection import Selected

FLOAT = 4
RECOGNISERS = {"3 M": 160, "65 M": 512}  # their widest stacks
COUNTS = (100, 10_000, 1_000_000)


@dataclass(frozen=True)
class JointTraining:
    """Joint training of `tasks` heads, and a common one, with their controller."""

    tasks: int
    width: int
    hidden: int = 64
    kind: str = "linear"
    inner: int = 64

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        kind = head_kind(self.kind)
        sizes = HeadSizes(self.width, self.hidden, self.inner if kind.has_inner else 0)
        return list(kind.shapes(sizes).values())

    @property
    def head(self) -> int:
        """Parameters of one."""
        return sum(math.prod(shape) for shape in self._shapes)

    @property
    def matrices(self) -> int:
        """Those of a head's parameters that are in matrices."""
        return sum(math.prod(shape) for shape in self._shapes if len(shape) == 2)

    @property
    def controller(self) -> int:
        return self.hidden * self.width + 2 * self.hidden

    @property
    def parameters(self) -> int:
        return (self.tasks + 1) * self.head + self.controller

    @property
    def gradient_bytes(self) -> int:
        """What every process sends in a step: all gradients but the common head's, and three sums."""
        return FLOAT * (self.tasks * self.head + self.controller + 3)

    @property
    def muon_bytes(self) -> int:
        """The momentum of every matrix, and one for each matrix that tasks share the steps of."""
        own = (self.tasks + 1) * self.matrices
        return FLOAT * (own + self.matrices + self.hidden * self.width)

    @property
    def adamw_bytes(self) -> int:
        """Two moments of all else, and a count of steps for each tensor."""
        vectors = len([shape for shape in self._shapes if len(shape) == 1])
        others = (self.tasks + 1) * (self.head - self.matrices) + 2 * self.hidden
        return FLOAT * (2 * others + 2 * vectors + 2)

    @property
    def optimizer_bytes(self) -> int:
        return self.muon_bytes + self.adamw_bytes

    @property
    def checkpoint_tensor_bytes(self) -> int:
        """Parameters as they are, their mean, and as of the selected epoch, and the optimisers' state."""
        return 3 * FLOAT * self.parameters + self.optimizer_bytes

    @property
    def device_bytes(self) -> int:
        """What stays on the device: parameters, their mean, gradients, the optimisers' state; and while gradients are
        added up, a copy of them. Muon's temporary tensors, which grow with the tasks in a batch, are not in it."""
        return 3 * FLOAT * self.parameters + self.optimizer_bytes + self.gradient_bytes

    @property
    def pack_tensor_bytes(self) -> int:
        """All heads and the controller in a pack, without its index."""
        return FLOAT * (self.tasks * self.head + self.controller)


def ring_seconds(gradient_bytes: int, processes: int, bytes_a_second: float) -> float:
    """The least that an all-reduce takes: each process sends and receives twice all but its own part."""
    return 2 * gradient_bytes * (processes - 1) / processes / bytes_a_second


def state_bytes_a_task() -> float:
    """Of the JSON text in a checkpoint's header, with numbers as a long run has them."""
    counts = ErrorCounts(3, 14, 15, 92)

    def length(tasks: int) -> int:
        names = [f"task-{number:06d}" for number in range(tasks)]
        selected = {name: Selected(12, 34_567, 890, 1234.567890123, counts) for name in names}
        state = RunState("", frozen=dict.fromkeys(names, counts), selected=selected)
        # As the string it is inside JSON, where every quotation mark takes two bytes.
        return len(json.dumps(json.dumps(asdict(state))))

    return (length(1100) - length(100)) / 1000


def sizes() -> dict[str, Any]:
    """The formulas for both recognisers, H = 64."""
    names = ("head", "gradient_bytes", "muon_bytes", "adamw_bytes", "checkpoint_tensor_bytes", "device_bytes")
    rows = []
    for recogniser, width in RECOGNISERS.items():
        for tasks in COUNTS:
            training = JointTraining(tasks, width)
            row = {name: getattr(training, name) for name in (*names, "pack_tensor_bytes")}
            rows.append({"recogniser": recogniser, "tasks": tasks, **row})
    return {"joint_training": rows, "state_bytes_a_task": state_bytes_a_task()}


def index(count: int) -> dict[str, Any]:
    """A tasks.json with `count` made-up tasks: its size, and what reading it takes a process."""
    with TemporaryDirectory() as folder:
        write_index(Path(folder), count)
        with get_context("spawn").Pool(1) as pool:
            seconds, added = pool.apply(read_index, (Path(folder),))
        return {
            "tasks": count,
            "bytes": (Path(folder) / "tasks.json").stat().st_size,
            "read_seconds": seconds,
            "added_peak_mb": added,
        }


def write_index(folder: Path, count: int) -> None:
    """A few utterances in each split; paths as `hra prepare` names them."""
    tasks = {}
    for number in range(count):
        name = f"voice-{number:06d}"
        tasks[name] = {
            split: Split(
                f"cuts/{name}/{split}.jsonl.gz",
                utterances,
                1.937 * utterances,
                5 * utterances,
                hashlib.sha256(f"{name} {split}".encode()).hexdigest(),
            )
            for split, utterances in (("train", 4), ("dev", 1), ("test", 2))
        }
    TaskIndex(folder, tasks, "stored", {}).save()


def read_index(folder: Path) -> tuple[float, float]:
    """Seconds of a second reading, and MB by which both raise the process's peak."""
    before = peak_mb()
    load_tasks(folder)
    begun = perf_counter()
    load_tasks(folder)
    return perf_counter() - begun, peak_mb() - before


def peak_mb() -> float:
    """Of this process alone: what `resource` says begins with the memory of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
