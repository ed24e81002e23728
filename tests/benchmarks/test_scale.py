"""What scale.py works on, and the formulas of docs/scale.md against what is really kept."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from builders import BACKBONE, TOKENIZER, random_adapter
from lhotse.testing.dummies import dummy_cut
from safetensors.torch import load_file

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.head_file import Head, controller_fingerprint
from hra_cli.adapter.head_pack import HeadPack
from hra_cli.data.manifests import stream_cuts
from hra_cli.data.task_index import load_tasks
from hra_cli.scoring.wer import ErrorCounts, Scores
from hra_cli.training.averaging import AveragedParameters
from hra_cli.training.gradient_sharing import by_amount_of_speech, follow_all_tasks
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState, save_checkpoint
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.validation import DevResult

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import scale
import scale_steps
from scale_cuts import write_manifest
from scale_packs import write_perturbed
from scale_sizes import JointTraining, ring_seconds, write_index
from scale_work import dealt, of_task

WIDTH, HIDDEN, INNER, TASKS = 24, 12, 6, ["a", "b", "c"]


def bytes_of(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def speech(speakers=3, **sizes):
    cuts = []
    for speaker in range(speakers):
        for split, count in {"train": 4, "dev": 1, "test": 2, **sizes}.items():
            for number in range(count):
                cut = of_task(dummy_cut(0), f"s{speaker}", f"s{speaker}-{split}-{number}")
                cut.custom["split"] = split
                cuts.append(cut)
    return cuts


def test_every_utterance_is_dealt_to_one_task_of_its_own_speaker():
    found = dealt(speech(), 6)
    assert len({cut.id for cut in found}) == len(found) == len(speech())
    tasks = Counter((cut.custom["task"], cut.custom["split"]) for cut in found)
    assert len({task for task, _ in tasks}) == 6
    assert all(cut.custom["task"].startswith(cut.id.partition("-")[0]) for cut in found)
    assert {count for (_, split), count in tasks.items() if split == "train"} == {2}


@pytest.mark.parametrize("count", [2, 7, 12])
def test_as_many_tasks_as_asked_for(count):
    assert len({cut.custom["task"] for cut in dealt(speech(), count)}) == count


def test_a_task_without_speech_to_train_on_is_refused():
    with pytest.raises(SystemExit, match="s0 has 4 utterances to train on for 5 tasks"):
        dealt(speech(), 13)


def test_perturbed_heads_differ_a_little(tmp_path):
    adapter = random_adapter(["common"], WIDTH, hidden=HIDDEN)
    controller = adapter.controller
    needed = controller_fingerprint(controller.tensors())
    tensors = adapter.bank.tensors(0)
    head = Head("common", "linear", WIDTH, HIDDEN, 0, BACKBONE, needed, TOKENIZER, tensors)
    write_perturbed(tmp_path / "pack.safetensors", head, controller, TASKS)
    found = HeadPack(tmp_path / "pack.safetensors")
    weights = [found.read(task).tensors["head.weight"] for task in TASKS]
    for one, other in zip(weights, weights[1:]):
        assert 0 < (one - other).norm() < 0.03 * one.norm()
    kept = bytes_of(one for name, one in load_file(found.file).items() if not name.startswith("index."))
    assert JointTraining(len(TASKS), WIDTH, HIDDEN).pack_tensor_bytes == kept


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_what_joint_training_keeps(kind, tmp_path):
    adapter = new_adapter(TASKS, WIDTH, HIDDEN, kind, INNER, common=True)
    optimizers = new_optimizers(adapter, 0.01, by_amount_of_speech([1.0, 2.0, 3.0]))
    for name, parameter in adapter.named_parameters():
        if not name.startswith("common."):
            parameter.grad = torch.ones_like(parameter)
    expected = JointTraining(len(TASKS), WIDTH, HIDDEN, kind, INNER)
    sent = bytes_of(parameter.grad for parameter in adapter.parameters() if parameter.grad is not None)
    assert expected.gradient_bytes == sent + 3 * 4
    follow_all_tasks(adapter)
    for optimizer in optimizers:
        optimizer.step()
    kept = [bytes_of(one for state in optimizer.state.values() for one in state.values()) for optimizer in optimizers]
    assert [expected.muon_bytes, expected.adamw_bytes] == kept
    assert expected.parameters == sum(parameter.numel() for parameter in adapter.parameters())

    selected = SelectedEpochs(TASKS, epoch_per_task=False)
    counts = dict.fromkeys(TASKS, ErrorCounts(words=1))
    selected.offer(adapter, 1, 1, DevResult(Scores(ErrorCounts(words=1), counts), dict.fromkeys(TASKS, 1.0)))
    average = AveragedParameters(adapter)
    average.add()
    save_checkpoint(tmp_path, RunState(""), adapter, selected.tensors, optimizers, average.tensors)
    written = load_file(tmp_path / CHECKPOINT_NAME)
    assert expected.checkpoint_tensor_bytes == bytes_of(written.values())


def test_what_is_measured_as_sent_is_what_a_step_sends():
    sent = scale_steps.gradients(new_adapter(TASKS, WIDTH, HIDDEN))
    assert JointTraining(len(TASKS), WIDTH, HIDDEN).gradient_bytes == bytes_of(sent)


def test_an_all_reduce_by_two_sends_everything_once():
    assert ring_seconds(100, 2, 50.0) == 2.0


def test_a_made_up_index_can_be_read(tmp_path):
    write_index(tmp_path, 3)
    assert len(load_tasks(tmp_path).names) == 3


def test_cuts_of_the_many_are_like_any(tmp_path):
    write_manifest(tmp_path / "cuts.jsonl.gz", 3000)
    found = list(stream_cuts(tmp_path / "cuts.jsonl.gz"))
    assert Counter(cut.custom["split"] for cut in found) == {"train": 1000, "dev": 1000, "test": 1000}
    assert len({cut.custom["task"] for cut in found}) == 1000
    assert found[2999].load_audio().shape == (1, 8000)


def test_parts_come_in_the_order_in_which_they_need_each_other():
    assert scale.parts("pack,onboard") == ["onboard", "pack"]
    with pytest.raises(scale.argparse.ArgumentTypeError, match="no part 'fly'"):
        scale.parts("pack,fly")
