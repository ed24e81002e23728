"""Training HRA heads on a frozen recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from rich.progress import Progress

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.adapter.head_file import (
    Head,
    controller_fingerprint,
    read_controller,
    write_controller,
    write_head,
)
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.experiment.config import CONFIG_NAME, TrainConfig, differences, load_config
from hra_cli.scoring.wer import BeforeAfter, ErrorCounts
from hra_cli.training.loop import TrainingLoop
from hra_cli.transducer.adapted import AdaptedModel


@dataclass
class TrainResult:
    """rows: WER on dev before and after, per task. skipped: utterances that could not be trained on."""

    rows: list[BeforeAfter]
    controller_parameters: int
    kept_epochs: dict[str, int]
    num_epochs: int
    skipped: list[Skipped]


def train(config: TrainConfig, exp_dir: Path, resume: bool = False, progress: Optional[Progress] = None) -> TrainResult:
    """Trains the heads that `config` asks for into `exp_dir`.

    With `resume` an interrupted run goes on from its last checkpoint, to the result it would have had; a
    finished one is only reported. Raises HraError for what the user can mend, KeyboardInterrupt after having
    saved a checkpoint when asked to stop. `progress` is told of every step.
    """
    _check_folder(exp_dir, config, resume)
    trainer = Trainer(config, exp_dir)
    trainer.run(progress)
    return trainer.result()


def _check_folder(exp_dir: Path, config: TrainConfig, resume: bool) -> None:
    if (exp_dir / CONFIG_NAME).is_file():
        if not resume:
            raise HraError(f"{exp_dir} already holds an experiment; go on with --resume, or choose another --exp-dir")
        changed = differences(load_config(exp_dir), config)
        if changed:
            raise HraError(f"{exp_dir} was begun with other options ({'; '.join(changed)}); resume it with its own")


class Trainer(TrainingLoop):
    """Trains a controller and heads, or heads on a given controller (onboarding)."""

    adapter: Adapter

    def _new_recogniser(self) -> AdaptedModel:
        config, controller = self.config, None
        if config.controller is not None:
            controller = read_controller(Path(config.controller), self.backbone.fingerprint)
        adapter = new_adapter(
            self.tasks, self.backbone.width, config.hidden, config.head, config.inner, config.seed, controller
        )
        return AdaptedModel(self.backbone, self.tokenizer, adapter)

    def _write_files(self) -> None:
        """controller.safetensors and heads/ as of the kept epochs; the same run always writes the same bytes."""
        adapter = new_adapter(
            self.tasks,
            self.backbone.width,
            self.adapter.controller.hidden,
            self.config.head,
            self.config.inner,
        )
        adapter.load_state_dict(self.kept.tensors)
        needed = controller_fingerprint(adapter.controller.tensors())
        write_controller(self.exp_dir / "controller.safetensors", adapter.controller, self.backbone.fingerprint)
        for number, task in enumerate(self.tasks):
            kept = self.kept.by_task[task]
            head = Head(
                task=task,
                kind=adapter.bank.kind,
                width=adapter.controller.width,
                hidden=adapter.controller.hidden,
                inner=adapter.bank.inner,
                backbone_fingerprint=self.backbone.fingerprint,
                controller_fingerprint=needed,
                tokenizer_fingerprint=self.tokenizer.fingerprint,
                tensors=adapter.bank.tensors(number),
                training={
                    "method": "onboarding" if self.config.controller else "joint",
                    "tasks": len(self.tasks),
                    "utterances": self.utterances[task],
                    "epoch": kept["epoch"],
                    "num_epochs": self.config.num_epochs,
                    "steps": kept["step"],
                    "max_duration": self.config.max_duration,
                    "lr": self.config.lr,
                    "rnnt_type": self.config.rnnt_type,
                    "spec_augment": self.config.spec_augment,
                    "seed": self.config.seed,
                },
                scores={
                    "set": "dev",
                    "wer_before": _wer(self.progress.frozen[task]),
                    "wer_after": _wer(kept["scores"]),
                    "words": kept["scores"]["words"],
                },
            )
            write_head(self.exp_dir / "heads" / f"{task}.safetensors", head)

    def result(self) -> TrainResult:
        rows = [
            BeforeAfter(
                task,
                self.adapter.bank.parameters_per_task,
                ErrorCounts(**self.progress.frozen[task]),
                ErrorCounts(**self.kept.by_task[task]["scores"]),
            )
            for task in self.tasks
        ]
        return TrainResult(
            rows=rows,
            controller_parameters=sum(p.numel() for p in self.adapter.controller.parameters()),
            kept_epochs={task: self.kept.by_task[task]["epoch"] for task in self.tasks},
            num_epochs=self.config.num_epochs,
            skipped=self.skipped,
        )


def _wer(counts: dict[str, int]) -> Optional[float]:
    """Per cent, or None where there were no words to get wrong."""
    return round(ErrorCounts(**counts).wer, 2) if counts["words"] else None
