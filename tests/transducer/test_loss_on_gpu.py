"""The pruned transducer loss on a GPU: on a real one, and what can be known of it without one."""

import pytest
import torch
from builders import random_features, relative_error, tiny_backbone
from devices import PRETENDED, as_on_a_gpu, exactly, needs_cuda, needs_meta, no_waiting, pretended_gpu

from hra_cli.nn.device import on_device, to_device
from hra_cli.transducer.loss import RNNT_TYPES, pruned_loss

CUDA = torch.device("cuda", 0)
TOKENS = [[3, 7, 7, 21, 4, 9, 12, 29, 1, 5], [8, 2, 11], [25, 26, 3, 3, 3, 14], []]
FEATURE_LENS = [140, 60, 95, 31]
BRANCHING = ("hra_cli.transducer.pruned_rnnt", "hra_cli.transducer.joiner_scores", "hra_cli.nn.frames")


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def encoded(backbone):
    with torch.no_grad():
        return backbone.encode(*random_features(FEATURE_LENS))


def transducer_of(backbone):
    """The parameters that the loss itself depends on."""
    return [parameter for name, parameter in backbone.named_parameters() if not name.startswith("encoder")]


def loss_and_gradients(backbone, out, lens, rnnt_type):
    """Simple and pruned loss by utterance, and the total's gradients for encoder_out and for what full fine-tuning
    moves."""
    out = out.clone().requires_grad_()
    wanted = [out, *transducer_of(backbone)]
    loss = pruned_loss(backbone, out, lens, TOKENS, rnnt_type)
    return [loss.simple.detach(), loss.pruned.detach(), *torch.autograd.grad(loss.sum().total, wanted)]


@needs_meta
@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_a_loss_and_its_gradient_ask_the_device_for_nothing(rnnt_type):
    backbone = tiny_backbone().to(PRETENDED).requires_grad_(True)
    with pretended_gpu() as device:
        lens = on_device([67, 27, 44, 12], device)
        found = loss_and_gradients(backbone, torch.zeros(4, 67, backbone.width, device=device), lens, rnnt_type)
    assert {tensor.device for tensor in found} == {device}
    assert found[0].shape == found[1].shape == (4,)


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ways_that_a_gpu_takes_lead_to_the_same(encoded, rnnt_type, dtype, monkeypatch):
    """All cells are computed, and none is chosen."""
    backbone = tiny_backbone().to(dtype).requires_grad_(True)
    out, lens = encoded[0].to(dtype), encoded[1]
    expected = loss_and_gradients(backbone, out, lens, rnnt_type)
    as_on_a_gpu(monkeypatch, *BRANCHING)
    found = loss_and_gradients(backbone, out, lens, rnnt_type)
    assert len(found) == len(expected) > 12
    for one, other in zip(found, expected):
        assert relative_error(one, other) < 1e-6


@needs_cuda
@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_a_gpu_computes_the_loss_of_the_cpu(encoded, rnnt_type, dtype, tolerance):
    out, lens = encoded[0].to(dtype), encoded[1]
    with exactly():
        expected, found = (
            loss_and_gradients(
                tiny_backbone().to(device=device, dtype=dtype).requires_grad_(True),
                to_device(out, device),
                to_device(lens, device),
                rnnt_type,
            )
            for device in (torch.device("cpu"), CUDA)
        )
    for one, other in zip(found, expected):
        assert one.device == CUDA
        assert relative_error(one.cpu(), other) < tolerance


@needs_cuda
def test_a_real_gpu_is_not_waited_for(encoded):
    backbone = tiny_backbone().to(CUDA).requires_grad_(True)
    out, lens = (to_device(tensor, CUDA) for tensor in encoded)
    loss_and_gradients(backbone, out, lens, "modified")  # loads kernels
    with no_waiting():
        loss_and_gradients(backbone, out, lens, "modified")
