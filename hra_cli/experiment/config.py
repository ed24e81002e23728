"""Everything that decides a training run, kept in the experiment's config.yaml.

Imports nothing heavy, since the command line shows the defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, TypeVar

from hra_cli.adapter.head_kinds import head_kind
from hra_cli.backbone.options import BackboneOptions
from hra_cli.errors import (
    MOST_EPOCHS,
    MOST_FLOAT,
    MOST_PROCESSES,
    MOST_SECONDS,
    MOST_SEED,
    MOST_SIZE,
    HraError,
    check_not_negative,
    check_positive,
)
from hra_cli.experiment.chunk_plan import ChunkPlan, Frames
from hra_cli.io.documents import read_yaml
from hra_cli.io.files import check_text, write_text

CONFIG_NAME = "config.yaml"
TASKS_PER_JOB = 100  # that `hra onboard` trains together
ONBOARD_MAX_DURATION = 100.0  # seconds in its batches, of which each of those tasks has little


@dataclass(frozen=True)
class TrainConfig:
    """Options of `hra train`. Paths are absolute, so that the file means the same from anywhere.

    tasks: the tasks to train, () for all in the data. controller: a frozen controller to train new heads on
    (onboarding), or None to train one jointly with the heads. common_head: the name of the head for tasks that have
    none, which joint training of two or more tasks writes. start: the head file that onboarded heads start from, of
    their kind and sizes, or None to start untrained. hidden: H; inner: F, for ffn heads.
    max_duration: seconds of audio in a batch. rnnt_type, loss: as in `pruned_loss`. lr: the peak of the learning
    rate. cache_frontend: keep the front end's output on disk between epochs; without spec_augment only.
    num_workers: processes that read data ahead; 0: a thread does.
    pos_head_dim, precision, device and recompute: see BackboneOptions. chunk_size, left_context_frames and those of
    validation: see ChunkPlan.

    Raises HraError for a size, duration or rate that is not positive or far beyond use, for options that
    BackboneOptions and ChunkPlan refuse, and for cache_frontend with spec_augment.
    """

    backbone: str
    data: str
    tasks: tuple[str, ...] = ()
    controller: Optional[str] = None
    common_head: str = "common"
    start: Optional[str] = None
    head: str = "linear"
    hidden: int = 64
    inner: int = 64
    rnnt_type: str = "regular"
    loss: str = "hra"
    max_duration: float = 15.0
    num_epochs: int = 20
    lr: float = 0.008
    spec_augment: bool = True
    recompute: bool = BackboneOptions.recompute
    cache_frontend: bool = False
    seed: int = 42
    pos_head_dim: int = BackboneOptions.pos_head_dim
    chunk_size: Frames = ChunkPlan.chunk_size
    left_context_frames: Frames = ChunkPlan.left_context_frames
    validate_chunk_size: Optional[int] = ChunkPlan.validate_chunk_size
    validate_left_context_frames: Optional[int] = ChunkPlan.validate_left_context_frames
    precision: str = BackboneOptions.precision
    device: str = BackboneOptions.device
    num_workers: int = 0

    def __post_init__(self) -> None:
        for path in (self.backbone, self.data, self.controller or "", self.start or ""):
            check_text(Path(path))
        head_kind(self.head)
        if self.start is not None and self.controller is None:
            raise HraError("--start is the head that onboarded heads begin as; give --controller too, or leave it out")
        check_positive(MOST_SIZE, hidden=self.hidden, inner=self.inner)
        check_positive(MOST_EPOCHS, num_epochs=self.num_epochs)
        check_positive(MOST_SECONDS, max_duration=self.max_duration)
        check_positive(MOST_FLOAT, lr=self.lr)
        check_not_negative(MOST_SEED, seed=self.seed)
        check_not_negative(MOST_PROCESSES, num_workers=self.num_workers)
        self.backbone_options  # noqa: B018 - checks its own
        if self.cache_frontend and self.spec_augment:
            raise HraError("--cache-frontend needs features that stay the same; add --no-spec-augment, or leave it out")

    @property
    def backbone_options(self) -> BackboneOptions:
        """The options that say how the recogniser is run where training does not draw: in validation."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(BackboneOptions)}
        return BackboneOptions(**{**own, **self.chunk_plan.in_use._asdict()})

    @property
    def chunk_plan(self) -> ChunkPlan:
        """The chunks that training draws from, and those of validation."""
        return ChunkPlan(
            self.chunk_size, self.left_context_frames, self.validate_chunk_size, self.validate_left_context_frames
        )


def save_config(config: TrainConfig, exp_dir: Path) -> None:
    """Writes config.yaml, whole or not at all."""
    import yaml

    content = {**dataclasses.asdict(config), "tasks": list(config.tasks)}
    write_text(exp_dir / CONFIG_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


Config = TypeVar("Config", bound=TrainConfig)


def load_config(exp_dir: Path) -> TrainConfig:
    """The configuration of the experiment in `exp_dir`. Raises HraError where there is none, or it is damaged."""
    return load_config_as(TrainConfig, exp_dir)


def load_config_as(kind: type[Config], exp_dir: Path) -> Config:
    """As `load_config`, for `kind`, a configuration that may have more options than `hra train`."""
    file = exp_dir / CONFIG_NAME
    if not file.exists():
        raise HraError(f"{exp_dir} is not an experiment folder: it has no {CONFIG_NAME}; train with `hra train` first")
    return read_yaml(file, kind, "train into a new folder")


def differences(one: TrainConfig, other: TrainConfig) -> list[str]:
    """The options that differ, with both values. Those that change no result beyond rounding are left out."""
    same_result = ("num_workers", "recompute", "cache_frontend", "device")
    return changed_options(dataclasses.asdict(one), dataclasses.asdict(other), but=same_result)


def changed_options(before: Mapping[str, Any], after: Mapping[str, Any], but: Sequence[str]) -> list[str]:
    """The options that changed, each as '--name before → after'. Those named in `but` are left out."""
    return [
        f"{_option(name)} {_as_given(before.get(name))} → {_as_given(value)}"
        for name, value in after.items()
        if name not in but and before.get(name) != value
    ]


def _option(name: str) -> str:
    """A field as it is called on the command line, where --task is repeated."""
    return "--task" if name == "tasks" else f"--{name.replace('_', '-')}"


def _as_given(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    return "not given" if value in (None, "") else str(value)
