"""In joint training a head follows all tasks, the more the less data it has; onboarded heads do not."""

import pytest
import torch

from hra_cli.adapter import new_adapter
from hra_cli.adapter.by_task import RELEVANCE
from hra_cli.baselines.methods import between_layers, parse_method

TASKS = ["ann", "bob", "cy"]


def joined(adapter, seconds):
    """The gradients of three tasks, which are 1, 2 and 6 everywhere, as the adapter joins them."""
    for parameter in adapter.bank.parameters():
        own = torch.tensor([1.0, 2.0, 6.0]).view(-1, *[1] * (parameter.dim() - 1))
        parameter.grad = own.expand_as(parameter).clone()
    adapter.join_gradients(seconds)
    parameters = list(adapter.bank.parameters())
    return [[parameter.grad[number].unique().tolist() for parameter in parameters] for number in range(3)]


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_a_tasks_own_gradient_counts_by_its_seconds(head):
    adapter = new_adapter(TASKS, 12, 8, head, 4)
    ann, bob, cy = joined(adapter, [0.0, RELEVANCE, 3 * RELEVANCE])
    several = len(list(adapter.bank.parameters()))
    assert ann == [[9.0]] * several  # the sum of all
    assert bob == [[7.5]] * several  # half-way to 3 · 2
    assert cy == [[15.75]] * several  # three quarters of the way to 3 · 6


def test_a_task_alone_follows_its_own():
    adapter = new_adapter(["ann"], 12, 8)
    gradients = {name: torch.randn_like(p) for name, p in adapter.bank.named_parameters()}
    for name, parameter in adapter.bank.named_parameters():
        parameter.grad = gradients[name].clone()
    adapter.join_gradients([10.0])
    for name, parameter in adapter.bank.named_parameters():
        assert torch.equal(parameter.grad, gradients[name])


def test_onboarded_heads_follow_their_own_gradients():
    controller = new_adapter(TASKS, 12, 8).controller
    ann, bob, cy = joined(new_adapter(TASKS, 12, 8, controller=controller), [0.0, 0.0, 0.0])
    assert (ann, bob, cy) == ([[1.0]] * 2, [[2.0]] * 2, [[6.0]] * 2)


def test_without_joining_heads_follow_their_own_gradients():
    apart = between_layers(parse_method("hra-apart:8"), {"one": 12}, TASKS, seed=1)
    assert joined(apart, [0.0, 0.0, 0.0])[0] == [[1.0]] * 2
