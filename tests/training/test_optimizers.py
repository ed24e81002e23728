"""Heads and controller move by Muon; a task whose utterances a batch lacks stays where it is."""

import pytest
import torch
from torch import nn

from hra_cli.adapter.adapter import new_adapter
from hra_cli.baselines.build import between_layers
from hra_cli.baselines.methods import parse_method
from hra_cli.training.gradient_sharing import shared_gradient
from hra_cli.training.muon import MOMENTUM, WEIGHT_DECAY, Muon, orthogonal
from hra_cli.training.optimizers import AdamW, new_optimizers


def per_task(*parameters):
    return {"params": list(parameters), "per_task": True}


def shared_by_all(*parameters):
    return {"params": list(parameters), "per_task": False}


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
    Muon([shared_by_all(weight)], lr=0.01).step()
    size = weight.detach().square().mean().sqrt().item()
    assert 0.1 * 0.01 < size < 0.4 * 0.01


def test_each_tasks_matrix_moves_as_if_it_were_alone():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 12, 8), torch.randn(4, 3, 12, 8)
    together = nn.Parameter(start.clone())
    alone = [nn.Parameter(matrix.clone()) for matrix in start]
    optimizers = [Muon([per_task(together)], lr=0.1), Muon([shared_by_all(*alone)], lr=0.1)]
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
    optimizer = Muon([per_task(bank)], lr=0.1)
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


def test_tasks_that_share_move_as_by_their_shared_gradients():
    torch.manual_seed(0)
    start, gradients, own = torch.randn(3, 12, 8), torch.randn(6, 3, 12, 8), torch.tensor([0.1, 0.5, 0.9])
    shared, separate = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    sharing, muon = Muon([per_task(shared)], 0.1, own), Muon([per_task(separate)], 0.1)
    for gradient in gradients:
        shared.grad, separate.grad = gradient.clone(), shared_gradient(gradient, own)
        sharing.step()
        muon.step()
    torch.testing.assert_close(shared.detach(), separate.detach())
    assert not torch.allclose(shared.detach(), start)


def test_a_task_that_shares_moves_as_all_do_while_it_is_not_there():
    torch.manual_seed(0)
    bank = nn.Parameter(torch.zeros(3, 12, 8))
    optimizer = Muon([per_task(bank)], 0.1, torch.full((3,), 0.5))
    bank.grad = torch.randn(3, 12, 8)
    optimizer.step()
    apart, before = optimizer.state[bank]["momentum"].clone(), bank.detach().clone()
    bank.grad = torch.randn(3, 12, 8)
    bank.grad[:2] = 0
    optimizer.step()
    moved = bank.detach() - (1 - 0.1 * WEIGHT_DECAY) * before
    torch.testing.assert_close(moved[0], moved[1])
    assert moved[0].any()
    assert not torch.allclose(moved[0], moved[2])
    torch.testing.assert_close(optimizer.state[bank]["momentum"][:2], MOMENTUM * apart[:2])


def test_vectors_of_tasks_share_too_and_others_do_not():
    torch.manual_seed(0)
    own, gradients = torch.tensor([0.0, 0.0, 1.0]), [torch.randn(3, 5), torch.randn(5)]
    biases, vector = nn.Parameter(torch.zeros(3, 5)), nn.Parameter(torch.zeros(5))
    biases.grad, vector.grad = (gradient.clone() for gradient in gradients)
    AdamW([per_task(biases), shared_by_all(vector)], 0.1, own).step()
    # AdamW's first step is against the sign of the gradient.
    sums = gradients[0].sum(0)
    for moved, gradient in zip((*biases.detach(), vector.detach()), (sums, sums, gradients[0][2], gradients[1])):
        assert torch.equal(moved.sign(), -gradient.sign())


def test_the_momentum_is_an_average_of_gradients():
    bank = nn.Parameter(torch.zeros(1, 2, 2))
    optimizer = Muon([per_task(bank)], lr=0.1)
    for gradient in (torch.eye(2), -torch.eye(2)):
        bank.grad = gradient[None].clone()
        optimizer.step()
    # Each counts as if its norm were 1.
    expected = (MOMENTUM * (1 - MOMENTUM) - (1 - MOMENTUM)) * torch.eye(2)[None] / 2**0.5
    torch.testing.assert_close(optimizer.state[bank]["momentum"], expected)


def test_every_batch_counts_the_same_whatever_the_size_of_its_gradient():
    torch.manual_seed(0)
    gradients, sizes = torch.randn(4, 2, 12, 8), torch.tensor([[1.0, 30.0], [0.01, 1.0], [5.0, 2.0], [100.0, 0.1]])
    moved = []
    for scale in (torch.ones(4, 2), sizes):
        bank = nn.Parameter(torch.zeros(2, 12, 8))
        optimizer = Muon([per_task(bank)], lr=0.1)
        for gradient, size in zip(gradients, scale):
            bank.grad = gradient * size[:, None, None]
            optimizer.step()
        moved.append(bank.detach())
    torch.testing.assert_close(*moved)


@pytest.mark.parametrize("name", ["hra-linear:8", "hra-ffn:8", "hra-controller-per-layer:8", "hra-head-per-layer:8"])
def test_controllers_and_heads_are_matrices_and_their_biases_are_not(name):
    adapter = between_layers(parse_method(name), WIDTHS, TASKS, seed=1)
    muon, adamw = new_optimizers(adapter, 0.01, torch.tensor([0.5] * 3))
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in adapter.named_parameters()}
    moved = [sorted(names[id(p)] for group in one.param_groups for p in group["params"]) for one in (muon, adamw)]
    assert moved[0] == sorted(name for name in names.values() if name.endswith("weight"))
    assert sorted(moved[0] + moved[1]) == sorted(names.values())


def test_onboarding_moves_the_head_alone():
    controller = new_adapter(TASKS, 12, 8).controller
    muon, adamw = new_optimizers(new_adapter(["dan"], 12, 8, controller=controller), 0.01)
    shapes = [tuple(p.shape) for one in (muon, adamw) for group in one.param_groups for p in group["params"]]
    assert shapes == [(1, 12, 8), (1, 12)]


def test_other_methods_keep_adamw():
    adapter = between_layers(parse_method("residual-adapters:4"), WIDTHS, TASKS, seed=1)
    (only,) = new_optimizers(adapter, 0.01, torch.tensor([0.5] * 3))
    assert isinstance(only, torch.optim.AdamW)
