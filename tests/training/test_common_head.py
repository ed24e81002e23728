"""The head for tasks that have none: joint training writes it beside the others, and it costs them nothing."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from builders import refused
from speech import BACKBONE, TASKS, config, hra

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.head_file import read_head, write_head
from hra_cli.adapter.head_start import find_start
from hra_cli.comparison.cell import cell_loop
from hra_cli.comparison.plan import CellConfig
from hra_cli.io.tensors import fingerprint
from hra_cli.training.gradient_sharing import follow_all_tasks
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.train_heads import heads_loop, train


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_heads_and_controller_are_those_of_training_without_it(data, tmp_path, kind):
    settings = {"max_duration": 20.0, "num_epochs": 1, "rnnt_type": "modified", "hidden": 16, "inner": 16, "head": kind}
    with_common = heads_loop(config(data, **settings), tmp_path / "with")
    backbone, folder = with_common.config.backbone, with_common.config.data
    without = cell_loop(
        CellConfig(backbone=backbone, data=folder, seed=1, method=f"hra-{kind}:16", **settings), tmp_path / "without"
    )
    assert without.adapter.common is None
    for loop in (with_common, without):
        loop.run()
    found = with_common.adapter.state_dict()
    for name, tensor in without.adapter.state_dict().items():
        assert tensor.numpy().tobytes() == found[name].numpy().tobytes()
    assert any(parameter.any() for name, parameter in with_common.adapter.common.named_parameters() if "bias" in name)


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_it_moves_as_a_task_that_has_no_speech_of_its_own(kind):
    adapter = new_adapter(["ann", "bob", "nobody"], 12, hidden=8, head=kind, inner=4, seed=1, common=True)
    optimizers = new_optimizers(adapter, 0.01, torch.tensor([0.3, 0.6, 0.0]))
    generator = torch.Generator().manual_seed(1)
    for batch in ([1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]):
        for parameter in adapter.bank.parameters():
            there = torch.tensor(batch).view(-1, *[1] * (parameter.dim() - 1))
            parameter.grad = there * torch.randn(parameter.shape, generator=generator)
        follow_all_tasks(adapter)
        for optimizer in optimizers:
            optimizer.step()
    nobody, common = adapter.bank.tensors(2), adapter.common.tensors(0)
    for name, tensor in nobody.items():
        torch.testing.assert_close(common[name], tensor)
        assert not torch.equal(tensor, adapter.bank.tensors(0)[name])


def test_its_file_is_marked_and_has_no_scores(experiment):
    head = read_head(experiment / "heads" / "common.safetensors")
    assert head.is_common
    assert (head.task, head.training["tasks"], head.training["utterances"], head.scores) == ("common", 2, 48, {})
    other = read_head(experiment / "heads" / "de.safetensors")
    assert not other.is_common
    assert head.controller_fingerprint == other.controller_fingerprint
    assert head.training["epoch"] == other.training["epoch"]
    assert bool(head.tensors["head.weight"].any())


def test_its_name_may_not_be_a_tasks(data, tmp_path):
    with refused("a task of the data is called 'de', as the head for tasks that have none; .* with --common-head"):
        train(config(data, common_head="de"), tmp_path / "exp")
    with refused("the task names 'DE' and 'de' differ only in case"):
        train(config(data, common_head="DE"), tmp_path / "exp")
    with refused("the task name '' is empty"):
        train(config(data, common_head=""), tmp_path / "exp")
    assert not (tmp_path / "exp").exists()


def test_it_may_have_another_name(data, tmp_path):
    loop = heads_loop(config(data, common_head="anyone", num_epochs=1), tmp_path / "exp")
    loop.run()
    assert {file.stem for file in (tmp_path / "exp" / "heads").iterdir()} == {*TASKS, "anyone"}


def test_a_task_alone_has_nothing_in_common_with_others(data, tmp_path):
    assert heads_loop(config(data, tasks=("de",)), tmp_path / "exp").adapter.common is None


def test_what_comes_later_starts_from_it_or_from_the_mean():
    adapter = new_adapter(["ann", "bob"], 12, hidden=8, seed=1)
    with torch.no_grad():
        adapter.bank.weight.copy_(torch.tensor([1.0, 3.0])[:, None, None].expand_as(adapter.bank.weight))
    later = new_adapter(["cy", "dee"], 12, hidden=8, controller=adapter.controller)
    later.start_from(adapter.start_for_others())
    assert later.bank.weight.unique().tolist() == [2.0]
    joint = new_adapter(["ann", "bob"], 12, hidden=8, seed=1, common=True)
    with torch.no_grad():
        joint.common.weight.fill_(5.0)
    later.start_from(joint.start_for_others())
    assert later.bank.weight.unique().tolist() == [5.0]
    assert (joint.parameters_per_task, joint.parameters_shared) == (12 * 8 + 12, 12 * 8 + 8 + 8)


@pytest.fixture(scope="module")
def onboarded(data, experiment, tmp_path_factory):
    """fr onboarded from the common head, by the command, with a learning rate that hardly moves anything."""
    exp_dir = tmp_path_factory.mktemp("start") / "exp"
    hra(
        "train", "--backbone", BACKBONE, "--data", data, "--exp-dir", exp_dir, "--task", "fr",
        "--controller", experiment / "controller.safetensors", "--start", "common", "--rnnt-type", "modified",
        "--lr", "1e-7", "--num-epochs", "1",
    )  # fmt: skip
    return exp_dir


def test_onboarded_heads_start_from_it(experiment, onboarded):
    common = read_head(experiment / "heads" / "common.safetensors")
    head = read_head(onboarded / "heads" / "fr.safetensors")
    for name, tensor in common.tensors.items():
        torch.testing.assert_close(head.tensors[name], tensor, rtol=0, atol=1e-5)
        assert not torch.equal(head.tensors[name], tensor), "and are trained"
    assert head.training["start"] == fingerprint(common.tensors)
    assert head.training["method"] == "onboarding"
    assert not head.is_common
    assert {file.stem for file in (onboarded / "heads").iterdir()} == {"fr"}


def test_a_start_by_name_and_by_file(experiment, tmp_path):
    controller, common = experiment / "controller.safetensors", experiment / "heads" / "common.safetensors"
    assert find_start("common", controller) == common
    assert find_start("common", experiment / "heads" / "de.safetensors") == common
    assert find_start(str(common), tmp_path / "controller.safetensors") == common
    with refused("--start: no head 'comon' beside .*; give a head's file, NAME.safetensors", controller):
        find_start("comon", controller)


def onboard(data, experiment, start, **changes):
    controller = experiment / "controller.safetensors"
    return config(data, tasks=("fr",), controller=str(controller), start=str(start), **changes)


def test_a_start_that_is_not_for_this_controller_or_recogniser_is_refused(data, experiment, tmp_path):
    common = read_head(experiment / "heads" / "common.safetensors")
    file = tmp_path / "start.safetensors"
    for changes, message in (
        ({"controller_fingerprint": "d" * 64}, "the head of task 'common' needs the controller dddddddddddd"),
        ({"backbone_fingerprint": "d" * 64}, "the head of task 'common' belongs to another backbone"),
        ({"tokenizer_fingerprint": "d" * 64}, "the head of task 'common' was trained with another tokenizer"),
    ):
        write_head(file, dataclasses.replace(common, **changes))
        with refused(message):
            train(onboard(data, experiment, file), tmp_path / "exp")
    with refused("start.safetensors is a linear head .* a ffn head .*; leave out --head"):
        write_head(file, common)
        train(onboard(data, experiment, file, head="ffn"), tmp_path / "exp")
    with refused("no such file"):
        train(onboard(data, experiment, tmp_path / "none.safetensors"), tmp_path / "exp")
    with refused("--start is the head that onboarded heads begin as; give --controller too"):
        config(data, start=str(file))
    assert not (tmp_path / "exp").exists()


def test_a_run_is_not_resumed_with_another_start(data, experiment, tmp_path):
    start = Path(shutil.copy(experiment / "heads" / "common.safetensors", tmp_path / "start.safetensors"))
    settings = onboard(data, experiment, start, num_epochs=1)
    heads_loop(settings, tmp_path / "exp").run()
    assert heads_loop(settings, tmp_path / "exp").resumed
    shutil.copy(experiment / "heads" / "de.safetensors", start)
    with refused(f"{start} has changed since {tmp_path / 'exp'} was begun; train into a new folder"):
        heads_loop(settings, tmp_path / "exp")
