"""The index of a prepared data folder: its tasks, their splits, and how they were made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lhotse import CutSet

from hra_cli.data.features import SAMPLING_RATE
from hra_cli.data.splits import SPLITS
from hra_cli.errors import HraError, did_you_mean
from hra_cli.io.files import write_text

INDEX_NAME = "tasks.json"
FORMAT = "hra-tasks"
FORMAT_VERSION = 1
# A task's name becomes the name of a folder and, with a suffix, of a head file; file systems allow 255 bytes.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Split:
    """One split of one task. `cuts` is its manifest's path, relative to the data folder."""

    cuts: str
    utterances: int
    seconds: float
    words: int


@dataclass(frozen=True)
class TaskIndex:
    """What `DATA/tasks.json` says.

    `tasks` maps task -> split -> `Split`; only splits that have utterances are there. `features` is "stored"
    or "on-the-fly". `skipped` counts, by reason, what could not be used. `arguments` is what the folder was
    made from.
    """

    data_dir: Path
    tasks: dict[str, dict[str, Split]]
    features: str
    arguments: dict[str, Any]
    skipped: dict[str, int] = field(default_factory=dict)
    sampling_rate: int = SAMPLING_RATE

    @property
    def names(self) -> list[str]:
        """The tasks, sorted."""
        return sorted(self.tasks)

    def splits(self, task: str) -> dict[str, Split]:
        """The splits of a task that have utterances, in the order train, dev, test.

        Raises `HraError` for an unknown task.
        """
        if task not in self.tasks:
            raise HraError(f"no task '{task}' in {self.data_dir}{did_you_mean(task, self.tasks)}")
        return {split: self.tasks[task][split] for split in SPLITS if split in self.tasks[task]}

    def select(self, names: list[str] | None) -> list[str]:
        """The named tasks in the order given, each once; all tasks for None. Raises `HraError` for an unknown one."""
        if names is None:
            return self.names
        for name in names:
            self.splits(name)
        return list(dict.fromkeys(names))

    def with_split(self, split: str) -> list[str]:
        """The tasks that have that split, sorted. Raises `HraError` for a split that none has."""
        found = [task for task in self.names if split in self.tasks[task]]
        if not found:
            raise HraError(f"no task in {self.data_dir} has a {split} split{did_you_mean(split, SPLITS)}")
        return found

    def cuts(self, task: str, split: str) -> CutSet:
        """The cuts of a task's split, opened lazily. Each has one supervision and `cut.custom["task"]`.

        Raises `HraError` where there is no such task or split, or its file is missing.
        """
        splits = self.splits(task)
        if split not in splits:
            raise HraError(f"task '{task}' has no {split} split in {self.data_dir}; it has: {', '.join(splits)}")
        path = self.data_dir / splits[split].cuts
        if not path.is_file():
            raise HraError(f"{path} is missing; delete {self.data_dir} and run `hra prepare` again")
        return CutSet.from_jsonl_lazy(path)

    def save(self) -> None:
        """Writes `tasks.json`, whole or not at all."""
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "features": self.features,
            "sampling_rate": self.sampling_rate,
            "arguments": self.arguments,
            "tasks": {
                name: {split: asdict(entry) for split, entry in self.splits(name).items()} for name in self.names
            },
            "skipped": self.skipped,
        }
        write_text(
            self.data_dir / INDEX_NAME,
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        )


def load_tasks(data_dir: Path) -> TaskIndex:
    """Reads the index of a prepared data folder. Raises `HraError` where there is none or it cannot be used."""
    path = Path(data_dir) / INDEX_NAME
    if not path.is_file():
        raise HraError(f"{data_dir} is no prepared data folder (it has no {INDEX_NAME}); run `hra prepare` first")
    damaged = f"{path} is damaged; delete {data_dir} and run `hra prepare` again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HraError(damaged) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise HraError(f"{path} was not written by `hra prepare`; choose another data folder")
    if content.get("format_version") != FORMAT_VERSION:
        raise HraError(
            f"{path} has format version {content.get('format_version')}, this hra reads {FORMAT_VERSION}; "
            "run `hra prepare` into a new folder"
        )
    try:
        index = TaskIndex(
            data_dir=Path(data_dir),
            tasks={
                name: {split: Split(**entry) for split, entry in splits.items()}
                for name, splits in content["tasks"].items()
            },
            features=content["features"],
            arguments=content["arguments"],
            skipped=content["skipped"],
            sampling_rate=content["sampling_rate"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise HraError(damaged) from error
    if not index.tasks:
        raise HraError(f"{data_dir} holds no tasks; run `hra prepare` into a new folder")
    return index


def check_task_name(name: str) -> None:
    """Raises `HraError` where `name` cannot be the name of a folder or file on every system."""
    wrong = None
    if not name:
        wrong = "is empty"
    elif "/" in name or "\\" in name:
        wrong = "contains a slash"
    elif name.startswith("."):
        wrong = "starts with a dot"
    elif not name.isprintable():
        wrong = "contains control characters"
    elif len(name.encode("utf-8")) > LONGEST_NAME:
        wrong = f"is longer than {LONGEST_NAME} bytes"
    if wrong:
        raise HraError(f"the task name {name!r} {wrong}; task names become file names, rename the task in the data")
