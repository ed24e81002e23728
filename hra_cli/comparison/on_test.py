"""Models on the test set: decoded and scored once, and then read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

from lhotse import CutSet
from lhotse.cut import Cut

from hra_cli.baselines.build import new_method
from hra_cli.baselines.methods import Method
from hra_cli.comparison.cell_files import (
    MODEL_NAME,
    TEST_NAME,
    ModelToTrain,
    SplitScores,
    TaskScores,
    read_test,
    write_test,
)
from hra_cli.io.files import remove_leftovers
from hra_cli.io.tensors import read_safetensors
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.scoring.bootstrap import wer_interval
from hra_cli.scoring.results import result_files, write_results
from hra_cli.scoring.wer import ErrorCounts, Utterance, rounded, score
from hra_cli.transducer.search_options import SearchOptions


class OnTest:
    """The test cuts of every task, and the frozen recogniser, on which models are put to decode them."""

    def __init__(self, frozen: Recogniser, cuts: Mapping[str, Sequence[Cut]], decoding_method: str):
        self.frozen = frozen
        self.cuts = cuts
        self.decoding_method = decoding_method

    @property
    def utterances(self) -> int:
        """Of all tasks."""
        return sum(map(len, self.cuts.values()))

    def of_frozen(self, folder: Path) -> SplitScores:
        """The frozen model's scores; the decoding's files are in `folder`."""
        return self._scores(folder, lambda: self._decoded(self.frozen, list(self.cuts)))

    def of_models(self, folder: Path, method: Method, models: Sequence[ModelToTrain], cell: Path) -> SplitScores:
        """The scores of models of a method, each on its own tasks.

        cell: below which the models are. The decoding's files are in `folder`.
        """

        def decode() -> list[Utterance]:
            utterances: list[Utterance] = []
            for model in models:
                tasks = list(model.config.tasks)
                backbone, adapter = new_method(method, self.frozen.backbone, tasks, model.config.seed)
                adapter.load_state_dict(read_safetensors(cell / model.folder / MODEL_NAME)[0])
                utterances += self._decoded(Recogniser(backbone, self.frozen.tokenizer, adapter), tasks)
            return utterances

        return self._scores(folder, decode)

    def _decoded(self, recogniser: Recogniser, tasks: Sequence[str]) -> list[Utterance]:
        cuts = CutSet.from_cuts([cut for task in tasks for cut in self.cuts[task]])
        found = decode_cuts(recogniser, cuts, self.decoding_method, SearchOptions(), DecodeConfig.max_duration)
        return found.utterances

    def _scores(self, folder: Path, decode: Callable[[], list[Utterance]]) -> SplitScores:
        """Test scores: those in the folder, if it has them, or else of what `decode` returns."""
        remove_leftovers(folder)
        method = self.decoding_method
        if (folder / TEST_NAME).exists() and result_files(folder, "test", method).recogs.is_file():
            return read_test(folder)
        utterances = decode()
        write_results(folder, "test", method, utterances)
        scores, (low, high) = score(utterances), wer_interval(utterances)
        found = SplitScores(
            wer=round(100.0 * scores.total.errors / scores.total.words, 2),
            errors=scores.total.errors,
            words=scores.total.words,
            low=round(low, 2),
            high=round(high, 2),
            tasks={task: task_scores(counts) for task, counts in scores.tasks.items()},
        )
        write_test(folder, found)
        return found


def task_scores(counts: ErrorCounts) -> TaskScores:
    """As the files of a comparison hold them."""
    return TaskScores(rounded(counts.wer), counts.errors, counts.words)
