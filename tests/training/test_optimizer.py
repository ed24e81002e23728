"""Heads and controller move by Muon; a task whose utterances a batch lacks stays where it is."""

import pytest
import torch
from torch import nn

from hra_cli.adapter import new_adapter
from hra_cli.baselines.methods import between_layers, parse_method
from hra_cli.training.optimizer import MOMENTUM, Muon, new_optimizers, orthogonal

TASKS = ["ann", "bob", "cy"]
WIDTHS = {"one": 12, "two": 16}


@pytest.mark.parametrize("shape", [(3, 40, 16), (3, 16, 40), (1, 16, 16)])
def test_every_direction_of_an_update_counts_about_the_same(shape):
    torch.manual_seed(0)
    # The strongest direction is a hundred times the weakest.
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = torch.logspace(0, -2, 16)
    values = torch.linalg.svdvals(orthogonal(u * sizes @ v))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_an_update_has_the_size_of_one_of_adamw():
    weight = nn.Parameter(torch.zeros(64, 160))
    weight.grad = torch.randn(64, 160, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.01).step()
    size = weight.detach().square().mean().sqrt().item()
    assert 0.1 * 0.01 < size < 0.4 * 0.01


def test_each_tasks_matrix_moves_as_if_it_were_alone():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 12, 8), torch.randn(4, 3, 12, 8)
    together = nn.Parameter(start.clone())
    alone = [nn.Parameter(matrix.clone()) for matrix in start]
    optimizers = [Muon([together], lr=0.1), Muon(alone, lr=0.1)]
    for step in gradients:
        together.grad = step.clone()
        for matrix, gradient in zip(alone, step):
            matrix.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(together.detach(), torch.stack([matrix.detach() for matrix in alone]))
    assert not torch.allclose(together.detach(), start)


def test_a_task_that_a_batch_lacks_is_left_alone():
    torch.manual_seed(0)
    bank = nn.Parameter(torch.randn(3, 12, 8))
    optimizer = Muon([bank], lr=0.1)
    bank.grad = torch.randn(3, 12, 8)
    optimizer.step()
    before = bank.detach().clone()
    bank.grad = torch.randn(3, 12, 8)
    bank.grad[1] = 0
    optimizer.step()
    assert torch.equal(bank[1], before[1])
    assert not torch.equal(bank[0], before[0])
    bank.grad = torch.zeros(3, 12, 8)
    before = bank.detach().clone()
    optimizer.step()
    assert torch.equal(bank, before)


def test_the_momentum_is_an_average_of_gradients():
    bank = nn.Parameter(torch.zeros(1, 2, 2))
    optimizer = Muon([bank], lr=0.1)
    for gradient in (torch.eye(2), -torch.eye(2)):
        bank.grad = gradient[None].clone()
        optimizer.step()
    expected = (MOMENTUM * (1 - MOMENTUM) - (1 - MOMENTUM)) * torch.eye(2)[None]
    torch.testing.assert_close(optimizer.state[bank]["momentum"], expected)


@pytest.mark.parametrize("name", ["hra-linear:8", "hra-ffn:8", "hra-controller-per-layer:8", "hra-head-per-layer:8"])
def test_controllers_and_heads_are_matrices_and_their_biases_are_not(name):
    adapter = between_layers(parse_method(name), WIDTHS, TASKS, seed=1)
    muon, adamw = new_optimizers(adapter, lr=0.01)
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in adapter.named_parameters()}
    moved = [sorted(names[id(p)] for p in one.param_groups[0]["params"]) for one in (muon, adamw)]
    assert moved[0] == sorted(name for name in names.values() if name.endswith("weight"))
    assert sorted(moved[0] + moved[1]) == sorted(names.values())


def test_onboarding_moves_the_head_alone():
    controller = new_adapter(TASKS, 12, 8).controller
    muon, adamw = new_optimizers(new_adapter(["dan"], 12, 8, controller=controller), lr=0.01)
    shapes = [tuple(p.shape) for one in (muon, adamw) for p in one.param_groups[0]["params"]]
    assert shapes == [(1, 12, 8), (1, 12)]


def test_other_methods_keep_adamw():
    (only,) = new_optimizers(between_layers(parse_method("residual-adapters:4"), WIDTHS, TASKS, seed=1), lr=0.01)
    assert isinstance(only, torch.optim.AdamW)
