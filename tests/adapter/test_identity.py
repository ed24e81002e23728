"""What an untrained head does, nothing, and what an utterance's output may depend on."""

import pytest
import torch
from builders import random_adapter, random_features, refused, relative_error, tiny_backbone

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import HeadSizes
from hra_cli.adapter.heads import new_bank

TASKS = ["ann", "bob", "cho"]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_an_untrained_head_changes_no_bit(backbone, head):
    adapter = new_adapter(TASKS, backbone.width, hidden=12, head=head)
    features, lens = random_features([60, 45, 33])
    plain, _ = backbone.encode(features, lens)
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["cho", "ann", "ann"]))
    assert torch.equal(out, plain)
    with torch.no_grad():
        for parameter in adapter.bank.parameters():
            parameter.add_(0.01)
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["cho", "ann", "ann"]))
    assert not torch.equal(out, plain)


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_an_untrained_head_beside_a_trained_one_changes_no_bit(backbone, head):
    adapter = random_adapter(TASKS, backbone.width, head)
    untrained = new_adapter(TASKS, backbone.width, hidden=12, head=head, inner=6)
    adapter.bank.load(1, untrained.bank.tensors(1))
    features, lens = random_features([60, 60])
    plain, _ = backbone.encode(features, lens)
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["ann", "bob"]))
    assert torch.equal(out[1], plain[1])
    assert not torch.equal(out[0], plain[0])


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_an_utterance_does_not_depend_on_its_neighbours(backbone, head):
    adapter = random_adapter(TASKS, backbone.width, head)
    lens = [91, 9, 60, 33]
    tasks = ["ann", "cho", "bob", "cho"]
    features, feature_lens = random_features(lens)
    with torch.no_grad():
        out, out_lens = backbone.encode(features, feature_lens, adapter.for_tasks(tasks))
        others = [tasks[0], "bob", "ann", "ann"]
        with_others, _ = backbone.encode(features, feature_lens, adapter.for_tasks(others))
        assert relative_error(with_others[0], out[0]) < 1e-5
        for n, length in enumerate(out_lens.tolist()):
            alone, _ = backbone.encode(
                features[n : n + 1, : lens[n]], feature_lens[n : n + 1], adapter.for_tasks([tasks[n]])
            )
            assert relative_error(out[n, :length], alone[0]) < 1e-5
            if n > 0:
                assert relative_error(out[n, :length], with_others[n, :length]) > 1e-2


def test_the_order_of_the_tasks_does_not_matter(backbone):
    adapter = random_adapter(TASKS, backbone.width)
    features, lens = random_features([60, 60])
    with torch.no_grad():
        out, _ = backbone.encode(features, lens, adapter.for_tasks(["ann", "cho"]))
        swapped, _ = backbone.encode(features.flip(0), lens, adapter.for_tasks(["cho", "ann"]))
    assert relative_error(swapped.flip(0), out) < 1e-5


def test_an_unknown_task_is_refused(backbone):
    adapter = random_adapter(["speaker-1", "anna"], backbone.width)
    with refused("no head for task 'ana'; did you mean 'anna'?"):
        adapter.for_tasks(["anna", "ana"])
    with refused("no head for task 'zz'; known: anna, speaker-1"):
        adapter.for_tasks(["zz"])


def test_an_unknown_kind_of_head_is_refused():
    with refused("no such head: 'liner'; did you mean 'linear'?"):
        new_adapter(TASKS, 40, head="liner")


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_gradients_reach_the_controller_and_the_heads_in_the_batch_alone(backbone, head):
    adapter = random_adapter(TASKS, backbone.width, head)
    features, lens = random_features([60, 45])
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["cho", "ann"]))
    out.square().sum().backward()
    for name, parameter in adapter.controller.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name
    for name, parameter in adapter.bank.named_parameters():
        reached = parameter.grad.flatten(1).abs().sum(dim=1)
        assert bool(reached[0] > 0), name
        assert bool(reached[2] > 0), name
        assert bool(reached[1] == 0), name
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_gradients_of_the_heads_are_those_of_each_utterance_alone(backbone):
    adapter = random_adapter(TASKS, backbone.width)
    lens = [60, 45]
    features, feature_lens = random_features(lens)

    def gradients(batch, tasks):
        out, out_lens = backbone.encode(features[batch, : max(lens[n] for n in batch)], feature_lens[batch],
                                        adapter.for_tasks(tasks))  # fmt: skip
        loss = sum(out[i, :length].square().sum() for i, length in enumerate(out_lens.tolist()))
        return torch.autograd.grad(loss, list(adapter.parameters()))

    together = gradients([0, 1], ["ann", "bob"])
    alone = [gradients([0], ["ann"]), gradients([1], ["bob"])]
    for both, first, second in zip(together, *alone):
        assert relative_error(both, first + second) < 1e-4


def test_gradients_reach_the_first_layer_through_the_frozen_ones(backbone):
    """The controller learns from what its output does to every later layer, and not only to encoder_out."""
    adapter = random_adapter(["ann"], backbone.width)
    features, lens = random_features([60])
    apply, first = adapter.for_tasks(["ann"]), []

    def after_layer(x, layer):
        out = apply(x, layer)
        if not first:
            out.retain_grad()
            first.append(out)
        return out

    out, _ = backbone.encode(features, lens, after_layer)
    out.square().sum().backward()
    assert float(first[0].grad.abs().min()) > 0


def test_onboarding_leaves_the_controller_alone(backbone):
    controller = Controller(backbone.width, 12)
    adapter = new_adapter(["dan"], backbone.width, head="ffn", inner=6, controller=controller)
    assert {name for name, parameter in adapter.named_parameters() if parameter.requires_grad} == {
        "bank.in_weight", "bank.in_bias", "bank.out_weight", "bank.out_bias"
    }  # fmt: skip
    before = {name: tensor.clone() for name, tensor in controller.tensors().items()}
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=0.1, weight_decay=0.1)
    features, lens = random_features([60])
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["dan"]))
    out.square().sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in controller.tensors().items())
    assert adapter.bank.out_weight.abs().max().item() > 0


def test_a_controller_of_another_width_is_refused(backbone):
    with refused("the controller is for width 50, the backbone has 40"):
        new_adapter(["dan"], backbone.width, controller=Controller(50, 12))


def test_equal_seeds_give_equal_adapters():
    def weights(seed):
        adapter = new_adapter(TASKS, 40, head="ffn", seed=seed)
        return torch.cat([parameter.flatten() for parameter in adapter.parameters()])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(3), first)
    assert not torch.equal(weights(4), first)


def test_gradients_are_the_same_every_time_on_several_threads():
    """Many utterances of one task: what they add to its head's gradient must add up in one order."""
    bank = new_bank("linear", 2, HeadSizes(256, 64))
    index = torch.arange(64) % 2
    h = torch.rand(10, 64, 64, generator=torch.Generator().manual_seed(0))
    weighting = torch.rand(10, 64, 256, generator=torch.Generator().manual_seed(1))

    def gradients():
        output = bank.gather(index)(h, 256)
        return torch.autograd.grad((output * weighting).sum(), list(bank.parameters()))

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = gradients()
        for _ in range(20):
            assert all(torch.equal(one, other) for one, other in zip(first, gradients()))
    finally:
        torch.set_num_threads(threads)
