"""Prepared data folders with other content."""

import json
from pathlib import Path

from hra_cli.data.manifests import write_manifest
from hra_cli.data.task_index import Split, load_tasks, seconds_of, words_of
from hra_cli.io.documents import digest_of


def write_split(data: Path, task: str, split: str, cuts) -> None:
    """Puts other cuts into a split, as if they had been prepared."""
    index = load_tasks(data)
    file = index.splits(task)[split].cuts
    index.tasks[task][split] = Split(
        file, len(cuts), seconds_of(cuts), words_of(cuts), write_manifest(data / file, cuts)
    )
    index.save()


def change_tasks(data: Path, change) -> None:
    """Calls `change` with the content of tasks.json and writes it again."""
    file = data / "tasks.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = digest_of(content)
    file.write_text(json.dumps(content), encoding="utf-8")
