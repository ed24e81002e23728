"""Validation: greedy WER and the loss on dev."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hra_cli.data.batches import load_batches
from hra_cli.experiment.config import TrainConfig
from hra_cli.scoring.wer import Scores, Utterance, score
from hra_cli.training.step import batch_loss
from hra_cli.training.training_data import TrainingData
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.search import search


@dataclass(frozen=True)
class DevResult:
    """scores: of greedy search. losses: by task, summed over its utterances."""

    scores: Scores
    losses: dict[str, float]


class Validator:
    """Scores a model on the dev batches of `data`."""

    def __init__(self, data: TrainingData, config: TrainConfig):
        self.data = data
        self.config = config

    @torch.no_grad()
    def __call__(self, model: AdaptedModel) -> DevResult:
        """WER and loss of `model` on dev. Raises HraError for a cut that cannot be read."""
        utterances: list[Utterance] = []
        losses = dict.fromkeys(self.data.tasks, 0.0)
        for batch in load_batches(self.data.dev, self.config.num_workers):
            encoder_out, lens = model.encode(batch)
            utterances += model.utterances(batch, search("greedy_search", model.backbone, encoder_out, lens))
            loss = batch_loss(model, batch, encoder_out, lens, self.config)
            for task, value in zip(batch.tasks, loss.total.tolist()):
                losses[task] += value
        return DevResult(score(utterances), losses)
