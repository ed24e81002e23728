"""The index of a prepared data folder: its tasks, their splits, and how they were made."""

from __future__ import annotations

import hashlib
import json
import math
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Optional

from lhotse import CutSet
from lhotse.cut import Cut, MonoCut, MultiCut

from hra_cli.data.cut_table import CutTable, Place
from hra_cli.data.features import SAMPLING_RATE, SHORTEST_SECONDS
from hra_cli.data.manifests import prepared_cuts, read_block
from hra_cli.data.splits import SPLITS
from hra_cli.data.text_form import TextChanges
from hra_cli.errors import HraError, did_you_mean
from hra_cli.io.documents import digest_of, parse_json, read_text
from hra_cli.io.files import check_text, write_text

INDEX_NAME = "tasks.json"
FORMAT = "hra-tasks"
FORMAT_VERSION = 1
# A task's name becomes the name of a folder and, with a suffix, of a head file; file systems allow 255 bytes.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Split:
    """One split of one task.

    cuts:   its manifest's path, relative to the data folder.
    sha256: of the manifest's uncompressed content, in hexadecimal; None for folders of earlier versions.
    """

    cuts: str
    utterances: int
    seconds: float
    words: int
    sha256: Optional[str] = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.cuts)
        if path.is_absolute() or ".." in path.parts:
            raise HraError(f"the manifest {self.cuts!r} lies outside the data folder; run `hra prepare` again")
        if self.utterances < 1 or self.words < 1 or not 0 < self.seconds < math.inf:
            raise HraError(f"the numbers of {self.cuts!r} cannot be; run `hra prepare` again")


@dataclass(frozen=True)
class TaskIndex:
    """What `DATA/tasks.json` says.

    `tasks` maps task -> split -> `Split`; only splits that have utterances are there. `features` is "stored"
    or "on-the-fly". `skipped` counts, by reason, what could not be used. `arguments` is what the folder was
    made from. `text` is what was done to the transcripts; None for nothing, and in folders of earlier versions.
    """

    data_dir: Path
    tasks: dict[str, dict[str, Split]]
    features: str
    arguments: dict[str, Any]
    skipped: dict[str, int] = field(default_factory=dict)
    sampling_rate: int = SAMPLING_RATE
    text: Optional[TextChanges] = None

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
            there = [one for one in SPLITS if any(one in splits for splits in self.tasks.values())]
            raise HraError(f"no task in {self.data_dir} has a {split} split; there are: {', '.join(there)}")
        return found

    def without_split(self, split: str) -> list[str]:
        """The tasks that lack that split, sorted."""
        return [task for task in self.names if split not in self.tasks[task]]

    def stored_cuts(self, task: str, split: str) -> Iterator[tuple[Cut, Place]]:
        """The cuts of a task's split, one after the other, and where each is. They have one supervision and
        `cut.custom["task"]`.

        Raises `HraError` where there is no such task or split, or its file is missing, damaged, or another than the one
        that was written; of some of that only when all is read.
        """
        splits = self.splits(task)
        if split not in splits:
            raise HraError(f"task '{task}' has no {split} split in {self.data_dir}; it has: {', '.join(splits)}")
        path = self.data_dir / splits[split].cuts
        if not os.path.isfile(path):
            raise HraError(f"{path} is missing; {self._remedy}")
        entry, checked = splits[split], _Checked(task, split, self.features == "stored")
        for cut, place in prepared_cuts(path, self._remedy, self._allow_commands, checked.digest):
            checked.add(cut)
            yield cut, place
        change = checked.change(entry)
        if change:
            raise HraError(f"{path} has changed since it was prepared: {change}; {self._remedy}")

    def cuts(self, task: str, split: str) -> CutSet:
        """As `stored_cuts`, all of them at once."""
        return CutSet.from_cuts([cut for cut, _ in self.stored_cuts(task, split)])

    def table(self, tasks: Iterable[str], split: str) -> CutTable:
        """The cuts of that split of all these tasks, task after task. Raises `HraError` as `stored_cuts` does."""
        table = self.empty_table()
        for task in tasks:
            for cut, place in self.stored_cuts(task, split):
                table.add(cut, place)
        return table

    def empty_table(self) -> CutTable:
        """A table for what `stored_cuts` gives."""
        return CutTable(partial(read_block, remedy=self._remedy, allow_commands=self._allow_commands))

    @property
    def _remedy(self) -> str:
        return f"delete {self.data_dir} and run `hra prepare` again"

    @property
    def _allow_commands(self) -> bool:
        return self.features == "stored"  # where audio is not read, and so no command is run either

    def save(self) -> None:
        """Writes `tasks.json`, whole or not at all."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "features": self.features,
            "sampling_rate": self.sampling_rate,
            "arguments": self.arguments,
            "tasks": {
                name: {split: _as_json(entry) for split, entry in self.splits(name).items()} for name in self.names
            },
            "skipped": self.skipped,
            **({"text": asdict(self.text)} if self.text else {}),
        }
        content["sha256"] = digest_of(content)
        write_text(
            self.data_dir / INDEX_NAME,
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        )


class _Checked:
    """What is seen of a split's cuts, to tell whether they are those that were prepared."""

    def __init__(self, task: str, split: str, stored: bool) -> None:
        self._of = (task, split)
        self._stored = stored
        self.digest = hashlib.sha256()
        self._utterances, self._words, self._seconds = 0, 0, 0.0
        self._last: Optional[str] = None
        self._wrong = ""

    def add(self, cut: Cut) -> None:
        """The next cut."""
        self._utterances += 1
        self._wrong = self._wrong or self._problem(cut)
        self._last = cut.id
        if not self._wrong:
            self._words += len(cut.supervisions[0].text.split())
            self._seconds += cut.duration

    def change(self, entry: Split) -> str:
        """How they differ from what the index says; '' where they do not."""
        if self._utterances != entry.utterances:
            return f"it has {self._utterances} utterances in place of {entry.utterances}"
        if self._wrong:
            return self._wrong
        if self._words != entry.words or abs(self._seconds - entry.seconds) > 0.01:
            return "it has other words or durations"
        if entry.sha256 is not None and self.digest.hexdigest() != entry.sha256:
            return "its content is another"
        return ""

    def _problem(self, cut: Cut) -> str:
        task, split = self._of
        custom = cut.custom if isinstance(cut, (MonoCut, MultiCut)) and cut.custom else {}
        if (custom.get("task"), custom.get("split")) != (task, split):
            return f"cut '{cut.id}' is not one of task '{task}', {split}"
        if len(cut.supervisions) != 1 or not isinstance(cut.supervisions[0].text, str):
            return f"cut '{cut.id}' has no transcript"
        if cut.duration < SHORTEST_SECONDS or cut.has_features != self._stored:
            return f"cut '{cut.id}' has no features or is too short"
        if cut.id == self._last:  # they are sorted by id
            return "it has an utterance twice"
        return ""


def load_tasks(data_dir: Path) -> TaskIndex:
    """Reads the index of a prepared data folder. Raises `HraError` where there is none or it cannot be used."""
    path = Path(data_dir) / INDEX_NAME
    check_text(path)
    if not os.path.isfile(path):  # also where the name is too long
        raise HraError(f"{data_dir} is no prepared data folder (it has no {INDEX_NAME}); run `hra prepare` first")
    remedy = f"delete {data_dir} and run `hra prepare` again"
    text = read_text(path, remedy)
    what = parse_json(text, dict[str, Any], str(path), remedy)
    if what.get("format") != FORMAT:
        raise HraError(f"{path} was not written by `hra prepare`; choose another data folder")
    if what.get("format_version") != FORMAT_VERSION:
        raise HraError(
            f"{path} has format version {what.get('format_version')}, this hra reads {FORMAT_VERSION}; "
            "run `hra prepare` into a new folder"
        )
    if what.get("sha256") not in (None, digest_of(what)):
        raise HraError(f"{path} has changed since it was written; {remedy}")
    content = parse_json(text, _Content, str(path), remedy)
    if not content.tasks or not all(content.tasks.values()):
        raise HraError(f"{data_dir} holds no tasks; run `hra prepare` into a new folder")
    try:
        check_task_names(content.tasks)
    except HraError as error:
        raise HraError(f"{path}: {error}") from error
    return TaskIndex(
        data_dir=Path(data_dir),
        tasks={task: {str(split): entry for split, entry in splits.items()} for task, splits in content.tasks.items()},
        features=content.features,
        arguments=content.arguments,
        skipped=content.skipped,
        sampling_rate=content.sampling_rate,
        text=content.text,
    )


@dataclass
class _Content:
    """tasks.json."""

    format: str
    format_version: int
    features: Literal["stored", "on-the-fly"]
    sampling_rate: Literal[16000]
    arguments: dict[str, Any]
    tasks: dict[str, dict[Literal["train", "dev", "test"], Split]]
    skipped: dict[str, int]
    text: Optional[TextChanges] = None
    sha256: Optional[str] = None  # of the rest; None for folders of earlier versions


def _as_json(split: Split) -> dict[str, Any]:
    return {name: value for name, value in asdict(split).items() if value is not None}


def check_task_names(names: Iterable[str]) -> None:
    """Raises `HraError` where a name cannot be that of a folder or file on every system, or two would be the same."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        check_task_name(name)
        # As macOS and Windows compare names.
        same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if same in seen:
            raise HraError(
                f"the task names {seen[same]!r} and {name!r} differ only in case or in how their characters are "
                "written, and task names become file names; rename one in the data, or both to the same"
            )
        seen[same] = name


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
