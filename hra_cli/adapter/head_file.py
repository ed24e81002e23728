"""Heads and controllers as safetensors files; no pickle anywhere. The format is in docs/head-file.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor

from hra_cli import __version__
from hra_cli.adapter.adapter import Adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import KINDS, HeadSizes
from hra_cli.adapter.heads import new_bank
from hra_cli.data.task_index import check_task_name
from hra_cli.errors import HraError
from hra_cli.io.documents import parse_json
from hra_cli.io.tensors import (
    check_parameters,
    fingerprint,
    in_one_line,
    read_safetensors,
    write_safetensors,
)

HEAD_FORMAT = "hra-head"
CONTROLLER_FORMAT = "hra-controller"
FORMAT_VERSION = "1"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Head:
    """One task's head, as in its file (docs/head-file.md). width: D; hidden: H; inner: F, 0 for kinds without."""

    task: str
    kind: str
    width: int
    hidden: int
    inner: int
    backbone_fingerprint: str
    controller_fingerprint: str
    tokenizer_fingerprint: str
    tensors: dict[str, Tensor]  # head.*
    controller: Optional[dict[str, Tensor]] = None  # controller.*, where bundled
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)  # metadata of other programs, written back as read

    @property
    def is_common(self) -> bool:
        """Whether it is for tasks that have no head, from joint training, and of no task itself."""
        return self.training.get("common") is True

    @property
    def sizes(self) -> HeadSizes:
        """Its width, hidden and inner."""
        return HeadSizes(self.width, self.hidden, self.inner)

    @property
    def num_parameters(self) -> int:
        """Parameters of the head, without a bundled controller."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The precision that it is stored in, such as "float32"."""
        return str(next(iter(self.tensors.values())).dtype).replace("torch.", "")


_FINGERPRINTS = ("backbone_fingerprint", "controller_fingerprint", "tokenizer_fingerprint")
_NEEDED = ("task", "head", "width", "hidden", "inner", *_FINGERPRINTS)
_SEALED = (*_NEEDED, "training", "scores")
_OWN_KEYS = {"format", "format_version", "hra_version", "head_fingerprint", *_SEALED}
_AGAIN = "copy or export it again"
_TRAIN_AGAIN = "train again, with a lower --lr"
_LARGEST = 1 << 20  # of a width, hidden or inner


def read_head(file: Path) -> Head:
    """Reads and checks a head file. Raises HraError for anything that is not a whole head of a known version."""
    return checked_head(file, *read_safetensors(file))


def checked_head(file: Union[Path, str], tensors: dict[str, Tensor], metadata: dict[str, str]) -> Head:
    """The head with these tensors and metadata, found in `file`. Raises HraError as `read_head` does."""
    check_format(file, metadata, HEAD_FORMAT)
    _check_keys(file, metadata, _NEEDED)
    own = {name: tensor for name, tensor in tensors.items() if name.startswith("head.")}
    controller = {name: tensor for name, tensor in tensors.items() if name.startswith("controller.")}
    if metadata.get("head_fingerprint") not in (None, head_fingerprint(metadata, own)):
        raise HraError(f"{file} is damaged: its contents are not what was written; {_AGAIN}")
    kind = metadata["head"]
    if kind not in KINDS:
        known = " and ".join(KINDS)
        raise HraError(f"{file}: unknown kind of head '{in_one_line(kind)}'; this version of hra knows {known}")
    sizes = HeadSizes(
        width=_size(file, metadata, "width", range(1, _LARGEST)),
        hidden=_size(file, metadata, "hidden", range(1, _LARGEST)),
        inner=_size(file, metadata, "inner", range(1, _LARGEST) if KINDS[kind].has_inner else range(1)),
    )
    for name in _FINGERPRINTS:
        if not re.fullmatch("[0-9a-f]{64}", metadata[name]):
            raise _wrong(file, metadata, name)
    try:
        check_task_name(metadata["task"])
    except HraError as error:
        raise HraError(f"{file}: {error}") from error
    _check_shapes(file, own, {f"head.{name}": shape for name, shape in KINDS[kind].shapes(sizes).items()})
    if controller:
        _check_shapes(file, controller, _controller_shapes(sizes.hidden, sizes.width))
    check_parameters({**own, **controller}, str(file), _AGAIN)
    if controller and controller_fingerprint(controller) != metadata["controller_fingerprint"]:
        raise HraError(f"{file}: the bundled controller is not the one the head names; export it again")
    scores = parse_json(metadata.get("scores", "{}"), dict[str, Any], f"{file}: 'scores'", _AGAIN)
    for name in ("wer_before", "wer_after", "words"):
        value = scores.get(name)
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < 1e12):
            raise _wrong(file, metadata, "scores")
    return Head(
        task=metadata["task"],
        kind=kind,
        width=sizes.width,
        hidden=sizes.hidden,
        inner=sizes.inner,
        backbone_fingerprint=metadata["backbone_fingerprint"],
        controller_fingerprint=metadata["controller_fingerprint"],
        tokenizer_fingerprint=metadata["tokenizer_fingerprint"],
        tensors=own,
        controller=controller or None,
        training=parse_json(metadata.get("training", "{}"), dict[str, Any], f"{file}: 'training'", _AGAIN),
        scores=scores,
        other={name: value for name, value in metadata.items() if name not in _OWN_KEYS},
    )


def write_head(file: Path, head: Head) -> None:
    """Writes a head file, sealed, whole or not at all; equal heads give equal bytes.

    Raises HraError for a head that has numbers which are not finite, and where it cannot be written.
    """
    write_safetensors(file, {**head.tensors, **(head.controller or {})}, head_metadata(head))


def head_metadata(head: Head) -> dict[str, str]:
    """The metadata of a head's file, with its seal. Raises HraError for numbers that are not finite."""
    check_parameters(head.tensors, f"the head of task '{head.task}' is not written", _TRAIN_AGAIN)
    metadata = {
        **head.other,
        "format": HEAD_FORMAT,
        "format_version": FORMAT_VERSION,
        "task": head.task,
        "head": head.kind,
        "width": str(head.width),
        "hidden": str(head.hidden),
        "inner": str(head.inner),
        "backbone_fingerprint": head.backbone_fingerprint,
        "controller_fingerprint": head.controller_fingerprint,
        "tokenizer_fingerprint": head.tokenizer_fingerprint,
        "hra_version": __version__,
        "training": json.dumps(head.training, sort_keys=True, ensure_ascii=False),
        "scores": json.dumps(head.scores, sort_keys=True, ensure_ascii=False),
    }
    metadata["head_fingerprint"] = head_fingerprint(metadata, head.tensors)
    return metadata


def head_fingerprint(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over what decides what a head does, and its training and scores: the seal of its file."""
    digest = hashlib.sha256()
    for key in sorted(_SEALED):
        digest.update(f"{key}\0{metadata.get(key, '')}\0".encode())
    digest.update(fingerprint(tensors).encode())
    return digest.hexdigest()


def as_dtype(head: Head, dtype: str) -> Head:
    """The head, and a bundled controller, in another precision. A rounded controller has another fingerprint.

    Raises HraError for an unknown dtype, or where a parameter is too large for it.
    """
    if dtype not in DTYPES:
        raise HraError(f"no such dtype: '{dtype}'; known: {', '.join(DTYPES)}")
    if all(tensor.dtype == DTYPES[dtype] for tensor in (*head.tensors.values(), *(head.controller or {}).values())):
        return head
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in head.tensors.items()}
    controller = head.controller and {name: tensor.to(DTYPES[dtype]) for name, tensor in head.controller.items()}
    for name, tensor in {**tensors, **(controller or {})}.items():
        if not bool(tensor.isfinite().all()):
            raise HraError(f"{name} of task '{head.task}' does not fit {dtype}; use bfloat16 or float32")
    return replace(
        head,
        tensors=tensors,
        controller=controller,
        controller_fingerprint=controller_fingerprint(controller) if controller else head.controller_fingerprint,
    )


def read_controller(file: Path, backbone_fingerprint: str) -> Controller:
    """A controller for that backbone, from its own file or from a head file that bundles one.

    Raises HraError where there is none, or it belongs to another backbone.
    """
    tensors, metadata = read_safetensors(file)
    if metadata.get("format") == HEAD_FORMAT:
        own = checked_head(file, tensors, metadata).controller
        if own is None:
            raise HraError(f"{file}: this head has no controller; export it without --no-controller")
    else:
        check_format(file, metadata, CONTROLLER_FORMAT)
        own = checked_controller(file, tensors, metadata)
    if metadata["backbone_fingerprint"] != backbone_fingerprint:
        raise HraError(f"the controller in {file} belongs to another backbone; use the recogniser it was trained on")
    return controller_from_tensors(own)


def checked_controller(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Tensor]:
    """The tensors of a controller, found in `file`. Raises HraError where they are not what was written."""
    _check_keys(file, metadata, ("backbone_fingerprint", "controller_fingerprint"))
    if "controller.weight" not in tensors or tensors["controller.weight"].dim() != 2:
        raise HraError(f"{file}: controller.weight is missing or no matrix; export it again")
    hidden, width = tensors["controller.weight"].shape
    if not (hidden and width):
        raise HraError(f"{file}: controller.weight is empty; {_AGAIN}")
    _check_shapes(file, tensors, _controller_shapes(hidden, width))
    check_parameters(tensors, str(file), _AGAIN)
    if controller_fingerprint(tensors) != metadata["controller_fingerprint"]:
        raise HraError(f"{file} is damaged: its contents are not what was written; {_AGAIN}")
    return tensors


def write_controller(file: Path, controller: Controller, backbone_fingerprint: str) -> None:
    """Writes a controller's own file, as experiments hold it, whole or not at all.

    Raises HraError for one that has numbers which are not finite, and where it cannot be written.
    """
    tensors = controller.tensors()
    check_parameters(tensors, "the controller is not written", _TRAIN_AGAIN)
    metadata = {
        "format": CONTROLLER_FORMAT,
        "format_version": FORMAT_VERSION,
        "hidden": str(controller.hidden),
        "width": str(controller.width),
        "backbone_fingerprint": backbone_fingerprint,
        "controller_fingerprint": controller_fingerprint(tensors),
        "hra_version": __version__,
    }
    write_safetensors(file, tensors, metadata)


def controller_fingerprint(tensors: dict[str, Tensor]) -> str:
    """The fingerprint of a controller's parameters in float32, as they are used, whatever the file's precision."""
    return fingerprint({name: tensor.float() for name, tensor in tensors.items()})


def controller_from_tensors(tensors: dict[str, Tensor]) -> Controller:
    """A controller, float32, from tensors named as in files."""
    hidden, width = tensors["controller.weight"].shape
    controller = Controller(width, hidden, torch.Generator())
    with torch.no_grad():
        for name, parameter in controller.named_parameters():
            parameter.copy_(tensors[f"controller.{name}"])
    return controller


def adapter_from_heads(
    heads: Sequence[Head],
    backbone_fingerprint: str,
    width: int,
    tokenizer_fingerprint: Optional[str] = None,
    controller: Optional[Controller] = None,
) -> Adapter:
    """One adapter that serves all `heads` on the backbone with that fingerprint and width.

    controller: for heads that bundle none. Raises HraError for every head that cannot be applied: of another
    backbone, tokenizer or controller, without a controller, two of one task, or of different kinds.
    """
    if not heads:
        raise HraError("no heads given")
    for head in heads:
        check_backbone(head, backbone_fingerprint, width, tokenizer_fingerprint)
    tasks = [head.task for head in heads]
    for task, count in Counter(tasks).items():
        if count > 1:
            raise HraError(f"two heads for task '{task}'; give one")
    first = heads[0]
    for head in heads:
        check_same_bank(first, head)
    bank = new_bank(first.kind, len(heads), first.sizes)
    for row, head in enumerate(heads):
        bank.load(row, head.tensors)
    adapter = Adapter(controller_of(heads, controller), bank, tasks)
    adapter.requires_grad_(False)
    return adapter


def check_backbone(head: Head, backbone_fingerprint: str, width: int, tokenizer_fingerprint: Optional[str]) -> None:
    """Raises HraError for a head of another backbone or tokenizer (None: any)."""
    if head.backbone_fingerprint != backbone_fingerprint:
        raise HraError(
            f"the head of task '{head.task}' belongs to another backbone (its fingerprint is "
            f"{head.backbone_fingerprint[:12]}…, this backbone's {backbone_fingerprint[:12]}…); "
            "use the recogniser it was trained on"
        )
    if head.width != width:
        raise HraError(f"the head of task '{head.task}' has width {head.width}, the backbone {width}")
    if tokenizer_fingerprint not in (None, head.tokenizer_fingerprint):
        raise HraError(f"the head of task '{head.task}' was trained with another tokenizer")


def check_same_bank(first: Head, other: Head) -> None:
    """Raises HraError for two heads that cannot share a bank: of different controllers, kinds or sizes."""
    if other.controller_fingerprint != first.controller_fingerprint:
        raise HraError(
            f"the heads of tasks '{first.task}' and '{other.task}' belong to different controllers; "
            "use them one at a time"
        )
    if (other.kind, other.hidden, other.inner) != (first.kind, first.hidden, first.inner):
        raise HraError(
            f"the heads of tasks '{first.task}' ({first.kind}, hidden {first.hidden}, inner {first.inner}) and "
            f"'{other.task}' ({other.kind}, hidden {other.hidden}, inner {other.inner}) cannot be used together; "
            "use them one at a time"
        )


def controller_of(heads: Sequence[Head], controller: Optional[Controller]) -> Controller:
    """The one controller of heads that go together: the one given, or one that is bundled.

    Raises HraError where none is there, or the one given is not the one that the heads need.
    """
    wanted = heads[0].controller_fingerprint
    if controller is not None:
        given = controller_fingerprint(controller.tensors())
        if given != wanted:
            raise HraError(
                f"the head of task '{heads[0].task}' needs the controller {wanted[:12]}…, "
                f"the one given is {given[:12]}…"
            )
        return controller
    bundled = [head.controller for head in heads if head.controller is not None]
    if not bundled:
        raise HraError(
            f"the head of task '{heads[0].task}' needs the controller {wanted[:12]}… and none is there; "
            "export the head without --no-controller, or give its controller.safetensors with --controller"
        )
    return controller_from_tensors(bundled[0])


def check_format(file: Union[Path, str], metadata: dict[str, str], wanted: str) -> None:
    """Raises HraError for metadata of another format, or another version of it."""
    if metadata.get("format") != wanted:
        found = in_one_line(metadata.get("format", "none"))
        raise HraError(f"{file} is not a file of format {wanted} (its format: {found})")
    version = metadata.get("format_version", "none")
    if version != FORMAT_VERSION:
        version = in_one_line(version)
        raise HraError(
            f"{file} has {wanted} version {version}, this hra {__version__} reads version {FORMAT_VERSION}; "
            f"it needs an hra that reads version {version}"
        )


def _check_keys(file: Union[Path, str], metadata: dict[str, str], needed: Sequence[str]) -> None:
    missing = sorted(set(needed) - metadata.keys())
    if missing:
        raise HraError(f"{file}: the metadata lack '{missing[0]}'; export it again")


def _size(file: Union[Path, str], metadata: dict[str, str], name: str, allowed: range) -> int:
    text = metadata[name]
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) not in allowed:
        raise _wrong(file, metadata, name)
    return int(text)


def _wrong(file: Union[Path, str], metadata: dict[str, str], name: str) -> HraError:
    return HraError(f"{file}: the head's metadata are damaged ({name}: '{in_one_line(metadata[name])}'); {_AGAIN}")


def _controller_shapes(hidden: int, width: int) -> dict[str, tuple[int, ...]]:
    return {
        "controller.weight": (hidden, width),
        "controller.recurrent": (hidden,),
        "controller.bias": (hidden,),
    }


def _check_shapes(file: Union[Path, str], tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> None:
    names: list[str] = sorted(set(shapes) ^ set(tensors))
    if names:
        found = "missing" if names[0] in shapes else "not expected"
        raise HraError(f"{file}: the tensor {in_one_line(names[0])} is {found}")
    for name, expected in shapes.items():
        if tuple(tensors[name].shape) != expected:
            raise HraError(f"{file}: {name} has shape {tuple(tensors[name].shape)}, expected {expected}")
