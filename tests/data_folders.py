"""Prepared data folders with other content."""

import json
from pathlib import Path

from hra_cli.data.manifests import ManifestWriter
from hra_cli.data.task_index import Split, load_tasks
from hra_cli.io.documents import digest_of


def write_split(data: Path, task: str, split: str, cuts) -> None:
    """Puts other cuts into a split, as if they had been prepared."""
    index = load_tasks(data)
    file = index.splits(task)[split].cuts
    with ManifestWriter(data / file) as writer:
        for cut in cuts:
            writer.write(cut.to_dict())
    words = sum(len(cut.supervisions[0].text.split()) for cut in cuts)
    seconds = round(sum(cut.duration for cut in cuts), 3)
    index.tasks[task][split] = Split(file, len(cuts), seconds, words, writer.sha256)
    index.save()


def change_tasks(data: Path, change) -> None:
    """Calls `change` with the content of tasks.json and writes it again."""
    file = data / "tasks.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = digest_of(content)
    file.write_text(json.dumps(content), encoding="utf-8")
