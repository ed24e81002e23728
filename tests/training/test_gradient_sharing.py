"""In joint training a head follows all tasks, the more the less data its own has; onboarded heads do not."""

import pytest
import torch
from speech import config

from hra_cli.adapter.adapter import new_adapter
from hra_cli.baselines.build import between_layers
from hra_cli.baselines.methods import parse_method
from hra_cli.training.gradient_sharing import RELEVANCE, SHARING, by_amount_of_speech, own_gradient, shared_gradient
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.train_heads import heads_loop

TASKS = ["ann", "bob", "cy"]
WIDTHS = {"one": 12, "two": 12}
SHARING_METHODS = [
    "hra-linear:8",
    "hra-ffn:8",
    "hra-no-recurrence:8",
    "hra-controller-per-layer:8",
    "hra-head-per-layer:8",
    "residual-adapters-together:8",
]


def moves(adapter, own_weights, gradients):
    """How far each task's parameters, flat, have gone after one update for each of `gradients`, (tasks,): what the
    gradient is everywhere."""
    banks = list(adapter.per_task_parameters().values())
    start = [parameter.detach().clone() for parameter in banks]
    optimizers = new_optimizers(adapter, 0.01, own_weights)
    for one in gradients:
        for parameter in banks:
            shape = (-1, *[1] * (parameter.dim() - 1))
            parameter.grad = torch.tensor(one).view(shape).expand_as(parameter).clone()
        for optimizer in optimizers:
            optimizer.step()
    return [
        torch.cat([(p[n] - s[n]).flatten() for p, s in zip(banks, start)]).detach() for n in range(len(adapter.tasks))
    ]


def new(method, tasks=TASKS):
    return between_layers(parse_method(method), WIDTHS, tasks, seed=1)


def test_a_tasks_own_gradient_counts_by_its_seconds():
    gradients = torch.tensor([1.0, 2.0, 6.0])[:, None].expand(3, 5)
    ann, bob, cy = shared_gradient(gradients, by_amount_of_speech([0.0, RELEVANCE, 3 * RELEVANCE]))
    assert ann.tolist() == [9.0] * 5  # the sum of all
    assert bob.tolist() == [7.5] * 5  # half-way to 3 · 2
    assert cy.tolist() == [15.75] * 5  # three quarters of the way to 3 · 6


def policy(method, seconds):
    """The weights of the tasks' own gradients, as `hra compare` gives them to this method."""
    return SHARING[parse_method(method).kind.sharing](seconds)


@pytest.mark.parametrize("method", SHARING_METHODS)
def test_tasks_with_next_to_no_data_move_alike_and_those_with_much_their_own_way(method):
    little = moves(new(method), policy(method, [0.0] * 3), [[1.0, 2.0, -6.0], [0.0, 3.0, -1.0]])
    torch.testing.assert_close(little[0], little[1])
    torch.testing.assert_close(little[0], little[2])
    much = moves(new(method), policy(method, [1e9] * 3), [[1.0, 2.0, -6.0], [1.0, 3.0, -1.0]])
    assert (much[0] * much[2] < 0).all()


@pytest.mark.parametrize("method", SHARING_METHODS)
def test_a_task_that_a_batch_lacks_moves_as_all_together(method):
    ann, bob, cy = moves(new(method), policy(method, [60.0] * 3), [[1.0, 0.0, 1.0]])
    torch.testing.assert_close(ann, bob)
    torch.testing.assert_close(ann, cy)
    assert ann.any()


def test_a_task_alone_and_onboarded_heads_follow_their_own_gradients(data, experiment, tmp_path):
    assert by_amount_of_speech([60.0]) is None
    onboarding = heads_loop(config(data, controller=str(experiment / "controller.safetensors")), tmp_path / "exp")
    assert [optimizer.own_weights for optimizer in onboarding.optimizers] == [None, None]
    controller = new_adapter(TASKS, 12, 8).controller
    onboarded = new_adapter(TASKS, 12, 8, controller=controller)
    ann, bob, _ = moves(onboarded, own_gradient([60.0] * 3), [[1.0, 0.0, -1.0]])
    assert ann.any()
    assert not bob.any()


@pytest.mark.parametrize("method", ["hra-apart:8", "residual-adapters:8"])
def test_heads_that_stay_apart_and_other_methods_follow_their_own_gradients(method):
    assert policy(method, [60.0] * 3) is None
