"""Validation: greedy WER and the loss on dev."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import torch

from hra_cli.data.batches import load_batches
from hra_cli.experiment.config import TrainConfig
from hra_cli.scoring.wer import Scores, Utterance, score
from hra_cli.training.processes import Processes
from hra_cli.training.training_data import TrainingData
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.loss import pruned_loss
from hra_cli.transducer.search import search


@dataclass(frozen=True)
class DevResult:
    """scores: of greedy search. losses: by task, summed over its utterances."""

    scores: Scores
    losses: dict[str, float]


class Validator:
    """Scores a model on the dev batches of `data`, each of which one of the processes decodes."""

    def __init__(self, data: TrainingData, config: TrainConfig, processes: Optional[Processes] = None):
        self.data = data
        self.config = config
        self.processes = processes or Processes()

    @torch.no_grad()
    def __call__(self, model: AdaptedModel) -> DevResult:
        """WER and loss of `model` on dev. Raises HraError for a cut that cannot be read."""
        utterances: list[Utterance] = []
        losses = dict.fromkeys(self.data.tasks, 0.0)
        config = self.config
        for batch in load_batches(self.processes.part(self.data.dev), config.num_workers):
            encoder_out, lens = model.encode(batch)
            utterances += model.utterances(batch, search("greedy_search", model.backbone, encoder_out, lens))
            loss = pruned_loss(model.backbone, encoder_out, lens, model.tokens(batch), config.rnnt_type, config.loss)
            for task, value in zip(batch.tasks, loss.total.tolist()):
                losses[task] += value
        everyone = self.processes.gather((utterances, losses))
        found = [one for utterances, _ in everyone for one in utterances]
        return DevResult(score(found), {task: sum(losses[task] for _, losses in everyone) for task in self.data.tasks})
