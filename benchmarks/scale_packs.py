"""The parts `pack` and `decode` of scale.py: thousands of heads in one file, and utterances of them decoded mixed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from pairs import Pairs, quartiles, timed_pairs
from scale_work import Work, bytes_in, hra, of_task

from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import Head, read_controller, read_head
from hra_cli.adapter.head_pack import HeadPack, write_pack
from hra_cli.recognition.decode_config import DecodeConfig
from hra_cli.recognition.load import load_recogniser
from hra_cli.scoring.wer import Scores, Utterance, score

OPENED = 20  # times
READ = 1000  # heads
PERTURBED = 0.01  # of the root mean square of each tensor
SEED = 42


def pack(work: Work, tasks: int, workers: int, pairs: int) -> dict[str, Any]:
    """The heads of `onboard` in one file, and all tasks' test utterances decoded from it, beside the frozen model."""
    exp_dir, file = work.folder / f"onboard-{workers}", work.folder / f"heads-{tasks}.safetensors"
    exported = hra("export-head", "--exp-dir", exp_dir, "--all", "--pack", file)
    index = work.tasks(tasks)
    there = set(HeadPack(file).tasks)
    cuts = [cut for task in index.with_split("test") if task in there for cut in index.cuts(task, "test")]
    frozen, mixed = Decoding(work.backbone, cuts), Decoding(work.backbone, cuts, file)
    timed = timed_pairs(frozen, mixed, pairs, warm_up=1)
    return {
        "export": dataclasses.asdict(exported),
        "heads_folder_bytes": bytes_in(exp_dir / "heads"),
        **opened(file),
        "tasks_decoded": len({cut.custom["task"] for cut in cuts}),
        "wer_frozen": frozen.scores.total.wer,
        "wer": mixed.scores.total.wer,
        "words": mixed.scores.total.words,
        **per_utterance(timed, cuts),
    }


def decode(work: Work, tasks: int, pairs: int) -> dict[str, Any]:
    """An utterance of each of `tasks` tasks from a pack with a head for each, beside the same utterances as one task's.

    The heads are the common head of the joint training, each perturbed in its own way.
    """
    joint, file = work.joint, work.folder / f"perturbed-{tasks}.safetensors"
    begun = perf_counter()
    names = [f"task-{number:06d}" for number in range(tasks)]
    common = read_head(joint / "heads" / "common.safetensors")
    controller = read_controller(joint / "controller.safetensors", common.backbone_fingerprint)
    write_perturbed(file, common, controller, names)
    written = perf_counter() - begun
    speech = work.test_cuts()
    cuts = [of_task(speech[place % len(speech)], name, f"{name}-0") for place, name in enumerate(shuffled(names))]
    one = Decoding(work.backbone, [of_task(cut, names[0]) for cut in cuts], file)
    mixed = Decoding(work.backbone, cuts, file)
    timed = timed_pairs(one, mixed, pairs, warm_up=1)
    return {
        "perturbed": PERTURBED,
        "write_seconds": written,
        **opened(file),
        "max_heads_in_memory": DecodeConfig.max_heads,
        "different_texts": sum(one.texts[id_] != text for id_, text in mixed.texts.items()),
        **per_utterance(timed, cuts),
    }


class Decoding:
    """Greedy search over all cuts, as `hra decode` does it, by a recogniser that is loaded beforehand.

    pack: where heads come from; None for the frozen model. load_seconds: what loading took, with opening the pack.
    """

    def __init__(self, backbone: Path, cuts: Sequence[Cut], pack: Path | None = None):
        begun = perf_counter()
        tasks = list(dict.fromkeys(cut.custom["task"] for cut in cuts))
        self._recogniser = load_recogniser(backbone, heads_dir=pack, tasks=None if pack is None else tasks)
        self.load_seconds = perf_counter() - begun
        self._cuts = CutSet.from_cuts(cuts)
        self._found: list[Utterance] = []

    def __call__(self) -> None:
        self._found = [one for batch in self._recogniser.decode(self._cuts) for one in batch]

    @property
    def scores(self) -> Scores:
        return score(self._found)

    @property
    def texts(self) -> dict[str, str]:
        """By the utterance's id."""
        return {one.id: one.text for one in self._found}


def per_utterance(timed: Pairs, cuts: Sequence[Cut]) -> dict[str, Any]:
    """Medians of a and b as seconds an utterance, beside the pairs."""
    return {
        "utterances": len(cuts),
        "seconds_of_speech": sum(cut.duration for cut in cuts),
        "seconds_an_utterance_a": quartiles(timed.a)[1] / len(cuts),
        "seconds_an_utterance_b": quartiles(timed.b)[1] / len(cuts),
        **timed.as_json(),
    }


def opened(file: Path) -> dict[str, Any]:
    """What it takes to open a pack, and to read one of its heads; the file is in the page cache by then."""
    open_seconds = [seconds_of(lambda: HeadPack(file)) for _ in range(OPENED)]
    heads = HeadPack(file)
    tasks = list(heads.tasks)
    some = random.Random(SEED).sample(tasks, min(READ, len(tasks)))
    return {
        "heads": len(tasks),
        "pack_bytes": file.stat().st_size,
        "open_seconds": quartiles(open_seconds),
        "read_a_head_seconds": quartiles([seconds_of(lambda task=task: heads.read(task)) for task in some]),
    }


def seconds_of(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


def write_perturbed(file: Path, head: Head, controller: Controller, names: Sequence[str]) -> None:
    """A pack with a head for each name: `head`, and to each of its tensors noise of PERTURBED of its size, another for
    every name."""
    generator = torch.Generator().manual_seed(SEED)

    def perturbed(tensor: torch.Tensor) -> torch.Tensor:
        size = PERTURBED * tensor.square().mean().sqrt()
        return tensor + size * torch.randn(tensor.shape, generator=generator)

    heads = [
        dataclasses.replace(head, task=name, tensors={key: perturbed(one) for key, one in head.tensors.items()})
        for name in names
    ]
    write_pack(file, heads, controller.tensors())


def shuffled(names: list[str]) -> list[str]:
    """In a random order, always the same."""
    return random.Random(SEED).sample(names, len(names))
