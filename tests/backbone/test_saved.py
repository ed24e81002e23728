"""What a training step keeps for its gradient, which is what its memory is spent on."""

import contextlib

import pytest
import torch
from builders import random_adapter, random_features, tiny_backbone

from hra_cli.adapter.adapter import new_adapter
from hra_cli.backbone.convolution import depthwise

LENS = [160, 150, 60]
TASKS = ["a"] * len(LENS)


@contextlib.contextmanager
def keeping():
    """Yields what is kept in the block for gradients: the storages' bytes by address."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def without(backbone, kept):
    own = {parameter.data_ptr() for parameter in backbone.parameters()}
    return {address: size for address, size in kept.items() if address not in own}


@pytest.mark.parametrize("onboarding", [False, True])
def test_nothing_is_kept_of_what_comes_before_the_first_head(onboarding):
    backbone = tiny_backbone()
    controller = random_adapter(["a"], backbone.width).controller if onboarding else None
    adapter = new_adapter(["a"], backbone.width, hidden=12, controller=controller)
    heads = adapter.for_tasks(TASKS)
    outputs = []
    with keeping() as kept:

        def after_layer(x, layer):
            outputs.append((x.requires_grad, set(kept)))
            return heads(x, layer)

        out, _ = backbone.encode(*random_features(LENS), after_layer)
    assert out.requires_grad
    assert outputs[0] == (False, set())
    assert all(requires_grad for requires_grad, _ in outputs[1:])


def test_the_frozen_model_keeps_nothing():
    with keeping() as kept:
        out, _ = tiny_backbone().encode(*random_features(LENS))
    assert not kept
    assert not out.requires_grad


@pytest.mark.parametrize(("causal", "chunk_size"), [(False, None), (True, None), (True, 16)])
def test_frozen_weights_get_no_gradient_and_keep_no_inputs(causal, chunk_size):
    backbone = tiny_backbone(causal=causal, chunk_size=chunk_size)
    adapter = random_adapter(["a"], backbone.width)

    with keeping() as less:
        out, _ = backbone.encode(*random_features(LENS), adapter.for_tasks(TASKS))
    out.square().mean().backward()
    gradients = [parameter.grad for parameter in adapter.parameters()]
    assert all(parameter.grad is None for parameter in backbone.parameters())
    for parameter in adapter.parameters():
        parameter.grad = None
    backbone.requires_grad_(True)
    with keeping() as more:
        out, _ = backbone.encode(*random_features(LENS), adapter.for_tasks(TASKS))
    out.square().mean().backward()
    assert sum(without(backbone, less).values()) < 0.75 * sum(without(backbone, more).values())
    for one, parameter in zip(gradients, adapter.parameters()):
        assert torch.allclose(one, parameter.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 8, 40), (3, 8, 1, 40)])
def test_the_frozen_convolution_is_torchs(shape):
    generator = torch.Generator().manual_seed(0)
    kernel = (1, 5)[4 - len(shape) :]
    x, weight, bias, up = (torch.randn(size, generator=generator) for size in (shape, (8, 1, *kernel), (8,), shape))
    if len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    padding = tuple(size // 2 for size in kernel)
    with keeping() as kept:
        out = depthwise(x, weight, bias, padding)
    (grad,) = torch.autograd.grad(out, x, up)
    assert list(kept) == [weight.data_ptr()]
    expected = depthwise(x, weight.requires_grad_(), bias, padding)
    assert torch.equal(out, expected)
    assert torch.equal(grad, torch.autograd.grad(expected, x, up)[0])


@pytest.mark.parametrize(("causal", "chunk_size"), [(False, None), (True, 16)])
def test_recomputing_keeps_less_and_changes_no_gradient(causal, chunk_size):
    backbone = tiny_backbone(causal=causal, chunk_size=chunk_size)
    adapter = random_adapter(["a"], backbone.width)
    results = []
    for recompute in (False, True):
        own = backbone.copy(recompute=recompute)
        inputs = []
        heads = adapter.for_tasks(TASKS)
        with keeping() as kept:
            out, _ = own.encode(
                *random_features(LENS), lambda x, layer, heads=heads, inputs=inputs: inputs.append(x) or heads(x, layer)
            )
        size = sum(without(own, kept).values())
        if recompute:  # whose own hooks hide what it keeps
            size += sum(x.numel() * x.element_size() for x in inputs)
        gradients = torch.autograd.grad(out.square().mean(), list(adapter.parameters()))
        results.append((size, out, gradients))
    (more, expected, expected_gradients), (less, out, gradients) = results
    assert less < 0.5 * more
    assert torch.equal(out, expected)
    assert all(torch.equal(one, other) for one, other in zip(gradients, expected_gradients))
