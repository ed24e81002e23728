"""Onboarded heads are pulled towards what they started from, the more the less speech a task has."""

import torch
from speech import config

from hra_cli.adapter.adapter import new_adapter
from hra_cli.data.batches import load_batches
from hra_cli.training.start_pull import RELEVANCE, STRENGTH, pull_to_start, strength_of_pull
from hra_cli.training.train_heads import heads_loop

TASKS = ["ann", "bob", "cy"]


def moved(start, hidden=64):
    """An adapter whose parameters are all 2; in the batch are ann and bob."""
    adapter = new_adapter(TASKS, 12, hidden=hidden, seed=1)
    if start is not None:
        per_task = adapter.per_task_parameters()
        adapter.start_from({name: torch.full_like(one[0], start) for name, one in per_task.items()})
    for parameter in adapter.bank.parameters():
        parameter.data.fill_(2.0)
        there = torch.tensor([1.0, 1.0, 0.0]).view(-1, *[1] * (parameter.dim() - 1))
        parameter.grad = there.expand_as(parameter).clone()
    return adapter


def test_a_task_with_little_speech_goes_back_further_and_one_that_the_batch_lacks_not_at_all():
    adapter = moved(start=1.0)
    pull_to_start(adapter, strength_of_pull([0.0, 3 * RELEVANCE, 0.0]), lr=0.5 / STRENGTH)
    for parameter in adapter.bank.parameters():
        assert [row.unique().tolist() for row in parameter] == [[1.5], [1.875], [2.0]]


def test_a_larger_head_goes_back_further_by_the_root_of_its_state():
    for hidden, there in ((16, 1.75), (64, 1.5), (256, 1.0)):
        adapter = moved(start=1.0, hidden=hidden)
        pull_to_start(adapter, strength_of_pull([0.0, 0.0, 0.0]), lr=0.5 / STRENGTH)
        assert [row.unique().tolist() for row in adapter.bank.weight] == [[there], [there], [2.0]]


def test_no_step_goes_beyond_the_start():
    adapter = moved(start=1.0)
    pull_to_start(adapter, strength_of_pull([0.0, 0.0, 0.0]), lr=1e6)
    assert [row.unique().tolist() for row in adapter.bank.weight] == [[1.0], [1.0], [2.0]]


def test_heads_that_began_untrained_are_not_pulled():
    adapter = moved(start=None)
    pull_to_start(adapter, strength_of_pull([0.0, 0.0, 0.0]), lr=0.01)
    assert adapter.bank.weight.unique().tolist() == [2.0]


def test_training_pulls_by_the_speech_that_there_is(data, experiment, tmp_path):
    """One step with the pull, against the same step and then the pull alone."""
    heads = experiment / "heads" / "common.safetensors"
    settings = config(data, controller=str(experiment / "controller.safetensors"), start=str(heads))
    after = {}
    for strength in (None, 0.0):
        loop = heads_loop(settings, tmp_path / "exp")
        torch.testing.assert_close(loop.step.pull, strength_of_pull(list(loop.data.seconds.values())))
        if strength is not None:
            loop.step.pull = torch.full((2,), strength)
        loop.step(next(iter(load_batches([loop.data.train]))), 0, 0.01)
        after[strength] = {name: one.detach() for name, one in loop.adapter.per_task_parameters().items()}
    left = 1 - 0.01 * strength_of_pull(list(loop.data.seconds.values()))
    for name, start in loop.adapter.start.items():
        pulled, free = ((after[strength][name] - start).flatten(1) for strength in (None, 0.0))
        assert free.any(dim=1).all()
        torch.testing.assert_close(pulled, left[:, None] * free, rtol=0, atol=1e-6)
