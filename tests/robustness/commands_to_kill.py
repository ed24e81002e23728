"""Commands that are killed and run again, what each starts from, and what must come out of it in the end."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustness.samples import Samples

from hra_cli.io.files import is_temporary
from hra_cli.io.lock import LOCK_NAME
from hra_cli.io.tensors import fingerprint, read_safetensors

# Logs, and tables and pages that show times.
MAY_DIFFER = ("train.log", "cell.log", "events.out.tfevents.*", "comparison.md", "report.html")
# Keys of times, and of digests over times or the folder's path; what the digests are of is compared itself.
NOT_COMPARED = ("seconds", "peak_memory_mib", "speed", "created", "sha256", "fingerprint")


@dataclass(frozen=True)
class Command:
    """place: what is there before. arguments: of hra, for the first run and for the one after a kill."""

    name: str
    place: Callable[[Path, Samples], None]
    arguments: Callable[[Path, Samples], list[object]]
    again: tuple[str, ...] = ()


def _nothing(folder: Path, samples: Samples) -> None:
    pass


def _begun(folder: Path, samples: Samples) -> None:
    shutil.copytree(samples.begun, folder / "exp")


def _experiment(folder: Path, samples: Samples) -> None:
    shutil.copytree(samples.exp, folder / "exp")


def _prepare(*options: object) -> Callable[[Path, Samples], list[object]]:
    return lambda folder, samples: [
        "prepare", "cuts", samples.cuts, "--task-by", "speaker", "--output-dir", folder / "data", *options,
    ]  # fmt: skip


COMMANDS = (
    Command("prepare", _nothing, _prepare("--num-jobs", 1)),
    Command("prepare --num-jobs 2", _nothing, _prepare("--num-jobs", 2)),
    Command(
        "train",
        _nothing,
        lambda folder, samples: ["train", *samples.train_arguments(), "--exp-dir", folder / "exp"],
        ("--resume",),
    ),
    Command(
        "train --resume",
        _begun,
        lambda folder, samples: ["train", *samples.train_arguments(), "--exp-dir", folder / "exp", "--resume"],
    ),
    Command(
        "compare",
        _nothing,
        lambda folder, samples: ["compare", *samples.compare_arguments(), "--exp-dir", folder / "comparison"],
    ),
    Command(
        "decode",
        _experiment,
        lambda folder, samples: [
            "decode", "--backbone", samples.recogniser, "--data", samples.data, "--exp-dir", folder / "exp",
            "--split", "train", "--json", folder / "out.json", "--device", "cpu",
        ],
    ),
    Command(
        "export-head",
        _experiment,
        lambda folder, samples: [
            "export-head", "--exp-dir", folder / "exp", "--task", "ann", "--output", folder / "ann.safetensors",
        ],
    ),
    Command(
        "export-onnx",
        _experiment,
        lambda folder, samples: [
            "export-onnx", "--backbone", samples.recogniser, "--exp-dir", folder / "exp", "--output", folder / "onnx",
        ],
    ),
    Command(
        "report",
        _experiment,
        lambda folder, samples: ["report", folder / "exp", "--output", folder / "page.html"],
    ),
)  # fmt: skip
BY_NAME = {command.name: command for command in COMMANDS}


def contents(folder: Path) -> dict[str, Any]:
    """What is in a folder, by path: bytes, without times, compression and the folder's own path."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        str(file.relative_to(folder)): _content(file, folder)
        for file in files
        if not any(file.match(pattern) for pattern in MAY_DIFFER)
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files, locks and marks of unfinished work."""
    return [
        str(file.relative_to(folder))
        for file in folder.rglob(".*")
        if is_temporary(file) or file.name == LOCK_NAME or "unfinished" in file.name
    ]


def _content(file: Path, folder: Path) -> Any:
    if file.suffix == ".safetensors":
        tensors, metadata = read_safetensors(file)
        told = {name: _comparable(value) for name, value in metadata.items() if name not in NOT_COMPARED}
        return fingerprint(tensors), told
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    content = content.replace(str(folder).encode(), b"FOLDER")
    return _comparable(content.decode()) if file.suffix == ".json" else content


def _comparable(text: str) -> str:
    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key not in NOT_COMPARED}
        return [strip(value) for value in node] if isinstance(node, list) else node

    try:
        return json.dumps(strip(json.loads(text)))
    except ValueError:
        return text
