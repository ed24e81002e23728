"""What a run keeps is the mean of its parameters over the steps since the warm-up."""

import json
import shutil

import pytest
import torch
from speech import config

from hra_cli.adapter.adapter import new_adapter
from hra_cli.errors import HraError
from hra_cli.experiment.metrics import dev_records
from hra_cli.io.tensors import read_safetensors, write_safetensors
from hra_cli.training.averaging import AveragedParameters
from hra_cli.training.run_state import CHECKPOINT_NAME, sealed
from hra_cli.training.schedule import WARM_UP
from hra_cli.training.train_heads import heads_loop, train


def filled(adapter, value):
    for parameter in adapter.parameters():
        parameter.data.fill_(value)


def values(adapter):
    return {value for parameter in adapter.parameters() for value in parameter.unique().tolist()}


def test_the_adapter_has_the_mean_only_while_it_is_in_use():
    adapter = new_adapter(["ann", "bob"], 12, hidden=8)
    average = AveragedParameters(adapter)
    filled(adapter, 7.0)
    with average.in_use():
        assert values(adapter) == {7.0}
    for value in (1.0, 2.0, 6.0):
        filled(adapter, value)
        average.add()
    with average.in_use():
        assert values(adapter) == {3.0}
    assert values(adapter) == {6.0}
    with pytest.raises(KeyboardInterrupt), average.in_use():
        raise KeyboardInterrupt
    assert values(adapter) == {6.0}


def test_what_is_frozen_is_not_averaged():
    adapter = new_adapter(["ann"], 12, hidden=8)
    adapter.controller.requires_grad_(False)
    average = AveragedParameters(adapter)
    average.add()
    assert average.tensors.keys() == adapter.per_task_parameters().keys()


def test_a_run_keeps_the_mean_of_the_steps_since_its_warm_up(data, tmp_path):
    """And that is what dev was scored with: its record is as of the selected epoch."""
    assert WARM_UP == 0.25
    loop = heads_loop(config(data, num_epochs=4), tmp_path / "exp")
    step, after = loop.step, []

    def recorded(batch, number, lr):
        result = step(batch, number, lr)
        tensors = {name: tensor.clone() for name, tensor in loop.adapter.state_dict().items()}
        after.append((loop.state.epoch, tensors))
        return result

    recorded.check_parameters, recorded.state, recorded.trained = step.check_parameters, step.state, step.trained
    loop.step = recorded
    loop.run()
    (epoch,) = {found.epoch for found in loop.selected.by_task.values()}
    kept = [tensors for before, tensors in after if 1 <= before < epoch]
    assert len(kept) > 1
    for name, tensor in loop.selected.tensors.items():
        mean = torch.stack([one[name] for one in kept]).mean(0)
        torch.testing.assert_close(tensor, mean.to(tensor), rtol=1e-4, atol=1e-6)
    (record,) = [one for one in dev_records(tmp_path / "exp") if one.epoch == epoch]
    assert sum(record.loss.values()) == pytest.approx(next(iter(loop.selected.by_task.values())).loss)


def test_onboarded_heads_are_those_of_their_last_step(data, experiment, tmp_path):
    settings = config(data, controller=str(experiment / "controller.safetensors"), num_epochs=2)
    loop = heads_loop(settings, tmp_path / "exp")
    loop.run()
    for row, task in enumerate(loop.adapter.tasks):
        if loop.selected.by_task[task].epoch == 2:
            assert torch.equal(loop.selected.tensors["bank.weight"][row], loop.adapter.bank.weight[row].cpu())
    assert 2 in {found.epoch for found in loop.selected.by_task.values()}
    assert not loop.average.tensors


@pytest.mark.parametrize("finished", [False, True])
def test_an_unfinished_run_of_a_version_without_the_mean_is_refused(data, experiment, tmp_path, finished):
    older = shutil.copytree(experiment, tmp_path / "exp")
    tensors, metadata = read_safetensors(older / CHECKPOINT_NAME)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("mean.")}
    state = json.loads(metadata["state"])
    assert state.pop("averaged") > 0
    if not finished:
        state["epoch"] = 1
    write_safetensors(older / CHECKPOINT_NAME, tensors, sealed(tensors, json.dumps(state)))
    if finished:
        assert train(config(data), older, resume=True).rows
    else:
        with pytest.raises(HraError, match="is of an earlier version of hra, which kept no mean; train into a new"):
            train(config(data), older, resume=True)


@pytest.mark.parametrize(
    ("steps", "without", "message"),
    [
        (1_000_000, None, "is damaged: a mean of 1000000 of [0-9]+ steps; train into a new folder"),
        (None, "mean.controller.bias", "is of another run: mean controller.bias is missing; train into a new folder"),
    ],
)
def test_a_mean_that_the_run_cannot_have_is_refused(data, experiment, tmp_path, steps, without, message):
    damaged = shutil.copytree(experiment, tmp_path / "exp")
    tensors, metadata = read_safetensors(damaged / CHECKPOINT_NAME)
    tensors = {name: tensor for name, tensor in tensors.items() if name != without}
    state = json.loads(metadata["state"])
    state["averaged"] = steps or state["averaged"]
    write_safetensors(damaged / CHECKPOINT_NAME, tensors, sealed(tensors, json.dumps(state)))
    with pytest.raises(HraError, match=message):
        train(config(data), damaged, resume=True)
