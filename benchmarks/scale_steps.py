"""Steps of joint training by all processes that torchrun has started, in pairs with the same steps by one of them.

Both make their steps with the same batches, loaded beforehand. The one that works alone is rank 0, while the others
wait. Every bank has the heads of the data's tasks, and as many more as are asked for, which no batch has.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from pairs import machine, quartiles, timed_pairs
from scale_work import RNNT_TYPE
from torch import Tensor

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.backbone.location import located
from hra_cli.backbone.model import load_backbone
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import Batch, load_batches
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.experiment.config import TrainConfig
from hra_cli.io.files import write_text
from hra_cli.nn.memory import keep_freed_memory, peak_memory
from hra_cli.training.gradient_sharing import by_amount_of_speech
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.processes import Processes, together
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState, save_checkpoint
from hra_cli.training.start_pull import strength_of_pull
from hra_cli.training.step import TrainingStep
from hra_cli.training.training_data import load_training_data
from hra_cli.transducer.adapted import AdaptedModel

LR = 1e-4
APART = 20  # measurements of the all-reduces alone


class Timed(Processes):
    """The processes with a clock: `seconds` has for every step how long its all-reduces took, waiting for the slowest
    rank included."""

    def __init__(self, processes: Processes):
        self.rank, self.size = processes.rank, processes.size
        self.seconds: list[float] = []
        self._processes = processes

    def add(self, tensors: Sequence[Tensor]) -> None:
        begun = perf_counter()
        self._processes.add(tensors)
        self.seconds[-1] += perf_counter() - begun

    def gather_numbers(self, *own: float) -> list[tuple[float, ...]]:
        """With which every step begins."""
        begun = perf_counter()
        everyone = self._processes.gather_numbers(*own)
        self.seconds.append(perf_counter() - begun)
        return everyone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--max-duration", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--bank-tasks", type=int, nargs="+", required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(1)
    with together() as processes:
        found = measured(arguments, processes)
        if processes.writes:
            write_text(arguments.output, json.dumps(found) + "\n")


def measured(arguments: argparse.Namespace, processes: Processes) -> dict[str, Any]:
    config = TrainConfig(
        backbone=arguments.backbone, data=arguments.data, max_duration=arguments.max_duration, rnnt_type=RNNT_TYPE
    )
    backbone = load_backbone(config.backbone, config.backbone_options)
    tokenizer = load_tokenizer(located(config.backbone))
    data = load_training_data(config, backbone, tokenizer)
    plan = training_batches(data.train, config.max_duration, config.seed, 0)[: arguments.steps]
    whole = list(load_batches(plan))
    own = list(load_batches(plan.part(processes.part)))
    # The rank with the most to do, batch by batch, decides how long a step takes.
    shares = [
        max(seconds) / sum(seconds) for seconds in zip(*processes.gather([sum(batch.durations) for batch in own]))
    ]
    utterances = sum(len(batch.ids) for batch in whole)
    rows = []
    for count in arguments.bank_tasks:
        tasks = [*data.tasks, *(f"no-speech-{number}" for number in range(count - len(data.tasks)))]
        seconds = [data.seconds.get(task, 0.0) for task in tasks]

        def step(processes: Processes, tasks: list[str] = tasks, seconds: list[float] = seconds) -> TrainingStep:
            adapter = new_adapter(tasks, backbone.width, common=True)
            model = AdaptedModel(backbone, tokenizer, adapter)
            optimizers = new_optimizers(adapter, LR, by_amount_of_speech(seconds))
            return TrainingStep(model, optimizers, config, strength_of_pull(seconds), processes)

        timer = Timed(processes)
        lone = step(Processes()) if processes.writes else None
        alone = steps(lone, whole) if lone is not None else lambda: None
        pairs = timed_pairs(
            then_wait(alone, processes), then_wait(steps(step(timer), own), processes), arguments.pairs, warm_up=1
        )
        sent = gradients(new_adapter(tasks, backbone.width))
        rows.append(
            {
                "tasks": len(tasks),
                "gradient_bytes": sum(4 * tensor.numel() for tensor in sent),
                "all_reduces_in_a_step_seconds": quartiles(timer.seconds[len(plan) :]),
                "all_reduces_apart_seconds": quartiles(apart(processes, sent)),
                "checkpoint": None if lone is None else checkpoint(lone),
                "peak_mib": peak_memory(backbone.device),
                "seconds_an_utterance_alone": quartiles(pairs.a)[1] / utterances,
                "seconds_an_utterance_together": quartiles(pairs.b)[1] / utterances,
                **pairs.as_json(),
            }
        )
    return {
        "machine_of_a_process": machine(),
        "processes": processes.size,
        "max_duration": config.max_duration,
        "steps": len(plan),
        "utterances": utterances,
        "seconds_of_speech": sum(sum(batch.durations) for batch in whole),
        "largest_share_of_a_batch": fmean(shares),
        "banks": rows,
    }


def checkpoint(step: TrainingStep) -> dict[str, float]:
    """What it takes to write one, as one of the processes does while the others wait."""
    selected = {name: tensor.clone() for name, tensor in step.adapter.state_dict().items()}
    with TemporaryDirectory() as folder:
        (Path(folder) / CHECKPOINT_NAME).parent.mkdir()
        begun = perf_counter()
        mean = selected  # as large
        save_checkpoint(Path(folder), RunState(""), step.adapter, selected, step.optimizers, mean)
        return {"seconds": perf_counter() - begun, "bytes": (Path(folder) / CHECKPOINT_NAME).stat().st_size}


def steps(step: TrainingStep, batches: list[Batch]) -> Callable[[], None]:
    def make() -> None:
        for number, batch in enumerate(batches):
            step(dataclasses.replace(batch), number, LR)  # a copy, whose features SpecAugment replaces

    return make


def then_wait(work: Callable[[], None], processes: Processes) -> Callable[[], None]:
    def both() -> None:
        work()
        processes.wait()

    return both


def gradients(adapter: Adapter) -> list[Tensor]:
    """Like what a step adds up: three sums, and the gradient of everything but the common head."""
    return [torch.zeros(3), *(torch.zeros_like(parameter) for parameter in adapter.parameters())]


def apart(processes: Processes, tensors: list[Tensor]) -> list[float]:
    """Seconds of what the processes tell each other in a step, with nothing else to do: their frames and longest
    transcripts, the gradient, and whether to stop, for which the loop asks."""
    found = []
    for _ in range(APART):
        processes.wait()
        begun = perf_counter()
        processes.gather_numbers(1.0, 1.0)
        processes.add(tensors)
        processes.any(False)
        found.append(perf_counter() - begun)
    return found


if __name__ == "__main__":
    main()
