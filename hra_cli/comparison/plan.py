"""What is compared, as cells. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hra_cli.backbone.options import BackboneOptions
from hra_cli.baselines.methods import MAIN, Method, parse_method
from hra_cli.comparison.onboard_options import ONBOARD, OnboardOptions
from hra_cli.errors import (
    MOST_EPOCHS,
    MOST_FLOAT,
    MOST_SECONDS,
    MOST_SEED,
    HraError,
    check_not_negative,
    check_positive,
    did_you_mean,
)
from hra_cli.experiment.chunk_plan import ChunkPlan, Frames
from hra_cli.experiment.config import TrainConfig
from hra_cli.io.files import check_text
from hra_cli.recognition.decode_config import DecodeConfig

ALONE_AND_TOGETHER = {"single": "a model per task", "multi": "one for all tasks"}
MODES = {**ALONE_AND_TOGETHER, ONBOARD: "tasks held out in turn, learned from a few utterances"}
# What a model starts from: every task from the same random numbers; each from what others have learned in common;
# from nothing learned of its own.
ALIKE, COMMON, ZERO = "alike", "common", "zero"
NUM_JOBS = 1  # cells trained at a time


@dataclass(frozen=True)
class CompareConfig:
    """Options of `hra compare`. Paths are absolute.

    tasks: () for all in the data. methods: names, or name:size, and maybe @LR/LR, the rates to try for one. modes:
    "single" (a model per task), "multi" (one for all) and "onboard" (tasks that were held out). lrs: the learning rates
    to try for the others; () for each method's own grid.
    budget_seconds: of training per model, turned into whole epochs by timing the method's steps; instead of num_epochs.
    The learning rate is chosen with the first of `seeds`. onboarding: what only that mode has; None becomes its
    defaults there. Raises HraError for an unknown method or mode, for none, and for numbers that are not positive or
    far beyond use.
    """

    backbone: str
    data: str
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = MAIN
    modes: tuple[str, ...] = tuple(ALONE_AND_TOGETHER)
    lrs: tuple[float, ...] = ()
    num_epochs: int = TrainConfig.num_epochs
    budget_seconds: Optional[float] = None
    seeds: tuple[int, ...] = (TrainConfig.seed,)
    rnnt_type: str = TrainConfig.rnnt_type
    max_duration: float = TrainConfig.max_duration
    spec_augment: bool = TrainConfig.spec_augment
    decoding_method: str = DecodeConfig.decoding_method
    pos_head_dim: int = TrainConfig.pos_head_dim
    chunk_size: Frames = TrainConfig.chunk_size
    left_context_frames: Frames = TrainConfig.left_context_frames
    validate_chunk_size: Optional[int] = TrainConfig.validate_chunk_size
    validate_left_context_frames: Optional[int] = TrainConfig.validate_left_context_frames
    device: str = TrainConfig.device
    onboarding: Optional[OnboardOptions] = None

    def __post_init__(self) -> None:
        if ONBOARD in self.modes and self.onboarding is None:
            object.__setattr__(self, "onboarding", OnboardOptions())
        for path in (self.backbone, self.data):
            check_text(Path(path))
        for mode in self.modes:
            if mode not in MODES:
                raise HraError(f"no such mode: '{mode}'{did_you_mean(mode, MODES)}; there are {', '.join(MODES)}")
        for name in ("methods", "modes", "seeds"):
            if not getattr(self, name):
                raise HraError(f"--{name} names none")
        self.parsed_methods()
        check_positive(MOST_EPOCHS, num_epochs=self.num_epochs)
        check_positive(MOST_SECONDS, budget_seconds=self.budget_seconds, max_duration=self.max_duration)
        for lr in self.lrs:
            check_positive(MOST_FLOAT, lrs=lr)
        for seed in self.seeds:
            check_not_negative(MOST_SEED, seeds=seed)
        self.backbone_options  # noqa: B018 - checks its own

    @property
    def backbone_options(self) -> BackboneOptions:
        """The options that say how the recogniser is run in validation and in the test."""
        return BackboneOptions(pos_head_dim=self.pos_head_dim, device=self.device, **self.chunk_plan.in_use._asdict())

    @property
    def chunk_plan(self) -> ChunkPlan:
        """The chunks that training draws from, and those of validation and the test."""
        return ChunkPlan(
            self.chunk_size, self.left_context_frames, self.validate_chunk_size, self.validate_left_context_frames
        )

    def parsed_methods(self) -> list[Method]:
        """Each method once, in the given order. Raises HraError as `parse_method` does, and for rates that are none."""
        return list(self._own_rates())

    def rows(self) -> list[tuple[Method, str]]:
        """Methods and modes but onboarding: the rows of the comparison, each with a cell per seed."""
        modes = [mode for mode in dict.fromkeys(self.modes) if mode != ONBOARD]
        return [(method, mode) for method in self.parsed_methods() for mode in modes]

    def grid(self, method: Method, mode: str) -> list[Cell]:
        """The cells of a row, one per learning rate, from which the learning rate is chosen."""
        return [Cell(method, mode, lr, self.seeds[0]) for lr in self.lrs_of(method)]

    def lrs_of(self, method: Method) -> list[float]:
        """The learning rates to choose from, each once."""
        return list(dict.fromkeys(self._own_rates()[method] or self.lrs or method.kind.lrs))

    def _own_rates(self) -> dict[Method, tuple[float, ...]]:
        """The rates that are given to each method alone."""
        found: dict[Method, tuple[float, ...]] = {}
        for text in self.methods:
            name, at, rates = text.partition("@")
            method = parse_method(name)
            found[method] = found.get(method, ()) + (_rates(text, rates) if at else ())
        return found


def _rates(method: str, text: str) -> tuple[float, ...]:
    """The learning rates in what stands behind a method's @."""
    try:
        rates = tuple(float(one) for one in text.split("/"))
    except ValueError:
        raise HraError(f"'{method}': learning rates are numbers with / between, as in lora:8@0.001/0.003") from None
    for lr in rates:
        check_positive(MOST_FLOAT, methods=lr)
    return rates


@dataclass(frozen=True)
class Cell:
    """One method, single- or multi-task or a part of onboarding, with one learning rate and seed.

    base_lr: of onboarding, the learning rate of what it starts from, None where that is nothing learned.
    """

    method: Method
    mode: str
    lr: float
    seed: int
    base_lr: Optional[float] = None

    @property
    def name(self) -> str:
        """Also that of its folder."""
        base = "" if self.base_lr is None else f"-base{_rate(self.base_lr)}"
        return f"{str(self.method).replace(':', '-')}-{self.mode}-lr{_rate(self.lr)}{base}-seed{self.seed}"


def _rate(lr: float) -> str:
    short = f"{lr:g}"
    return short if float(short) == lr else repr(lr)  # two rates are two folders


@dataclass(frozen=True)
class CellConfig(TrainConfig):
    """What decides one model of a cell; in single-task cells `tasks` is one task.

    Of onboarding: begin: ALIKE of what is trained on the tasks that are not held out, else COMMON or ZERO. base: where
    that is, beside the cell's folder. shots: how many utterances of each task it is trained on.
    """

    method: str = "hra-linear"
    budget_seconds: Optional[float] = CompareConfig.budget_seconds
    begin: Optional[str] = None
    base: Optional[str] = None
    shots: Optional[int] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inside(self.base or ".")


def model_configs(config: CompareConfig, cell: Cell, tasks: list[str]) -> Iterator[tuple[Path, CellConfig]]:
    """The models of a cell, with their folders relative to the cell's.

    Those of single tasks lie in a folder of their own: a task may have the name of one of the cell's files.
    """
    groups = [(Path("models") / task, [task]) for task in tasks] if cell.mode == "single" else [(Path(), tasks)]
    for folder, group in groups:
        yield folder, model_config(config, cell, group)


def model_config(config: CompareConfig, cell: Cell, tasks: Sequence[str]) -> CellConfig:
    """What decides a model of the cell for these tasks."""
    return CellConfig(
        backbone=config.backbone,
        data=config.data,
        tasks=tuple(tasks),
        method=str(cell.method),
        lr=cell.lr,
        seed=cell.seed,
        num_epochs=config.num_epochs,
        budget_seconds=config.budget_seconds,
        rnnt_type=config.rnnt_type,
        max_duration=config.max_duration,
        spec_augment=config.spec_augment,
        pos_head_dim=config.pos_head_dim,
        chunk_size=config.chunk_size,
        left_context_frames=config.left_context_frames,
        validate_chunk_size=config.validate_chunk_size,
        validate_left_context_frames=config.validate_left_context_frames,
        device=config.device,
    )


def check_inside(folder: str) -> None:
    """For a dataclass's __post_init__: raises ValueError for a folder that is not below the one that names it."""
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise ValueError(f"the folder {folder} leads elsewhere")
