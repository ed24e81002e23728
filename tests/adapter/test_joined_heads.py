"""In joint training a head follows all tasks, the more the less data its own has; onboarded heads do not."""

import pytest
import torch

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.task_adapter import RELEVANCE, by_amount, joined
from hra_cli.baselines.method_kinds import parse_method
from hra_cli.baselines.methods import between_layers
from hra_cli.training.optimizers import new_optimizers

TASKS = ["ann", "bob", "cy"]
WIDTHS = {"one": 12, "two": 12}
JOINED = ["hra-linear:8", "hra-ffn:8", "hra-no-recurrence:8", "hra-controller-per-layer:8", "hra-head-per-layer:8"]


def moves(adapter, seconds, gradients):
    """How far each task's parameters, flat, have gone after one update for each of `gradients`, (tasks,): what the
    gradient is everywhere."""
    banks = [p for name, p in adapter.named_parameters() if name.startswith("bank")]
    start = [parameter.detach().clone() for parameter in banks]
    optimizers = new_optimizers(adapter, 0.01, seconds)
    for one in gradients:
        for parameter in banks:
            shape = (-1, *[1] * (parameter.dim() - 1))
            parameter.grad = torch.tensor(one).view(shape).expand_as(parameter).clone()
        for optimizer in optimizers:
            optimizer.step()
    return [torch.cat([(p[n] - s[n]).flatten() for p, s in zip(banks, start)]).detach() for n in range(len(seconds))]


def new(method, tasks=TASKS):
    return between_layers(parse_method(method), WIDTHS, tasks, seed=1)


def test_a_tasks_own_gradient_counts_by_its_seconds():
    gradients = torch.tensor([1.0, 2.0, 6.0])[:, None].expand(3, 5)
    ann, bob, cy = joined(gradients, by_amount([0.0, RELEVANCE, 3 * RELEVANCE]))
    assert ann.tolist() == [9.0] * 5  # the sum of all
    assert bob.tolist() == [7.5] * 5  # half-way to 3 · 2
    assert cy.tolist() == [15.75] * 5  # three quarters of the way to 3 · 6


@pytest.mark.parametrize("method", JOINED)
def test_tasks_with_next_to_no_data_move_alike_and_those_with_much_their_own_way(method):
    little = moves(new(method), [0.0] * 3, [[1.0, 2.0, -6.0], [0.0, 3.0, -1.0]])
    torch.testing.assert_close(little[0], little[1])
    torch.testing.assert_close(little[0], little[2])
    much = moves(new(method), [1e9] * 3, [[1.0, 2.0, -6.0], [1.0, 3.0, -1.0]])
    assert (much[0] * much[2] < 0).all()


@pytest.mark.parametrize("method", JOINED)
def test_a_task_that_a_batch_lacks_moves_as_all_together(method):
    ann, bob, cy = moves(new(method), [60.0] * 3, [[1.0, 0.0, 1.0]])
    torch.testing.assert_close(ann, bob)
    torch.testing.assert_close(ann, cy)
    assert ann.any()


def test_a_task_alone_and_onboarded_heads_follow_their_own_gradients():
    assert new("hra-linear:8", ["ann"]).own_weights([60.0]) is None
    controller = new_adapter(TASKS, 12, 8).controller
    onboarded = new_adapter(TASKS, 12, 8, controller=controller)
    assert onboarded.own_weights([60.0] * 3) is None
    ann, bob, _ = moves(onboarded, [60.0] * 3, [[1.0, 0.0, -1.0]])
    assert ann.any()
    assert not bob.any()


def test_heads_that_stay_apart_follow_their_own_gradients():
    assert new("hra-apart:8").own_weights([60.0] * 3) is None
