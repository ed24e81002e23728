"""export.json: what an exported folder holds and what it was made from, so that it can be checked later."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Optional

from hra_cli import __version__
from hra_cli.backbone.location import recorded
from hra_cli.backbone.options import BackboneOptions
from hra_cli.errors import HraError
from hra_cli.export.export_config import ExportConfig
from hra_cli.export.head_inputs import adapter_of, constants_of
from hra_cli.io.documents import digest_of, read_json
from hra_cli.io.files import sha256_of_file, write_text
from hra_cli.io.tensors import fingerprint
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser

RECORD_NAME = "export.json"
_AGAIN = "export again into a new folder"


@dataclass(frozen=True)
class ExportRecord:
    """Paths are absolute. tasks: with the fingerprint of each one's head and controller. variants: in file names.
    files: with their SHA-256. sha256: of all the rest.
    """

    format: Literal["hra-onnx"]
    format_version: Literal[1]
    hra_version: str
    backbone: str
    backbone_fingerprint: str
    tokenizer_fingerprint: str
    pos_head_dim: int
    chunk_size: Optional[int]
    left_context_frames: Optional[int]
    exp_dir: Optional[str]
    heads_dir: Optional[str]
    heads: list[str]
    controller: Optional[str]
    tasks: dict[str, str]
    variants: list[str]
    files: dict[str, str]
    sha256: str = ""


def new_record(config: ExportConfig, recogniser: Recogniser, folder: Path) -> ExportRecord:
    """Of a recogniser with its heads that was exported with these options into `folder`."""
    adapter = adapter_of(recogniser)

    def absolute(path: Optional[Path]) -> Optional[str]:
        return None if path is None else str(path.absolute())

    return ExportRecord(
        format="hra-onnx",
        format_version=1,
        hra_version=__version__,
        backbone=recorded(config.backbone),
        backbone_fingerprint=recogniser.backbone.fingerprint,
        tokenizer_fingerprint=recogniser.tokenizer.fingerprint,
        pos_head_dim=config.pos_head_dim,
        chunk_size=config.chunk_size,
        left_context_frames=config.left_context_frames,
        exp_dir=absolute(config.exp_dir),
        heads_dir=absolute(config.heads_dir),
        heads=[str(path.absolute()) for path in config.heads],
        controller=absolute(config.controller),
        tasks={task: fingerprint(constants_of(adapter, task)) for task in adapter.tasks} if adapter else {},
        variants=config.variants,
        files={file.name: sha256_of_file(file) for file in sorted(folder.iterdir())},
    )


def write_record(folder: Path, record: ExportRecord) -> None:
    """Writes export.json, sealed."""
    content = asdict(record)
    content["sha256"] = digest_of(content)
    write_text(folder / RECORD_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> ExportRecord:
    """What `folder` holds. Raises HraError where it is no exported folder, or its export.json is damaged."""
    file = folder / RECORD_NAME
    if not file.is_file():
        raise HraError(f"{folder} is no exported folder: it has no {RECORD_NAME}; make one with `hra export-onnx`")
    record = read_json(file, ExportRecord, _AGAIN)
    if record.sha256 != digest_of(asdict(record)):
        raise HraError(f"{file} has changed since it was written; {_AGAIN}")
    return record


def check_files(record: ExportRecord, folder: Path, names: Iterable[str]) -> None:
    """Raises HraError where one of the files is not what was written. (At some that are damaged sherpa-onnx ends the
    process.)"""
    for name in names:
        file = folder / name
        if not file.is_file():
            raise HraError(f"{file} is missing; copy or export the folder again")
        if sha256_of_file(file) != record.files.get(name):
            raise HraError(f"{file} is damaged: it is not what was written; copy or export the folder again")


def recogniser_of(record: ExportRecord, folder: Path, tasks: list[str]) -> Recogniser:
    """The recogniser that the folder was exported from, with the heads of `tasks`, and none where there are none.

    Raises HraError where it is not there any more, or is another.
    """
    named = bool(tasks)
    recogniser = load_recogniser(
        Path(record.backbone),
        BackboneOptions(record.pos_head_dim, record.chunk_size, record.left_context_frames, device="cpu"),
        exp_dir=Path(record.exp_dir) if record.exp_dir and named else None,
        heads_dir=Path(record.heads_dir) if record.heads_dir and named else None,
        heads=[Path(file) for file in record.heads] if named else None,
        tasks=tasks or None,
        controller=Path(record.controller) if record.controller and named else None,
    )
    now = (recogniser.backbone.fingerprint, recogniser.tokenizer.fingerprint)
    if now != (record.backbone_fingerprint, record.tokenizer_fingerprint):
        raise HraError(f"the recogniser {record.backbone} has changed since {folder} was exported; {_AGAIN}")
    adapter = adapter_of(recogniser)
    if adapter is not None:
        for task in adapter.tasks:
            if fingerprint(constants_of(adapter, task)) != record.tasks[task]:
                raise HraError(f"the head of task '{task}' has changed since {folder} was exported; {_AGAIN}")
    return recogniser
