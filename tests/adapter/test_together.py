"""In joint training heads move as one for the first half; onboarded heads never do."""

import pytest
import torch

from hra_cli.adapter import new_adapter
from hra_cli.adapter.adapter import TOGETHER
from hra_cli.training.optimizer import new_optimizers

TASKS = ["ann", "bob", "cy"]


def stepped(adapter, done_at):
    """After a few updates whose gradients differ by task."""
    optimizers = new_optimizers(adapter, lr=0.01)
    generator = torch.Generator().manual_seed(1)
    for done in done_at:
        for parameter in adapter.bank.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        adapter.join_gradients(done)
        for optimizer in optimizers:
            optimizer.step()
    return [adapter.bank.tensors(number) for number in range(len(TASKS))]


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_heads_are_equal_through_the_first_half_and_then_part(head):
    ann, bob, cy = stepped(new_adapter(TASKS, 12, 8, head, 4), [0.0, 0.2, 0.4])
    assert equal(ann, bob)
    assert equal(ann, cy)
    ann, bob, _ = stepped(new_adapter(TASKS, 12, 8, head, 4), [0.0, 0.4, TOGETHER, 0.9])
    assert not equal(ann, bob)


def test_the_common_gradient_is_the_sum_of_the_tasks():
    adapter = new_adapter(TASKS, 12, 8)
    gradient = torch.arange(3.0)[:, None].expand(3, 12)
    adapter.bank.bias.grad = gradient.clone()
    adapter.join_gradients(0.0)
    assert torch.equal(adapter.bank.bias.grad, torch.full((3, 12), 3.0))


def test_onboarded_heads_follow_their_own_gradients():
    controller = new_adapter(TASKS, 12, 8).controller
    ann, bob, _ = stepped(new_adapter(TASKS, 12, 8, controller=controller), [0.0, 0.2])
    assert not equal(ann, bob)
