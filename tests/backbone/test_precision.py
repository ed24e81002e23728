"""bfloat16: nearly the same, the adapter in float32, and what is promised of float32 where it still holds."""

import pytest
import torch
from builders import random_adapter, random_features, refused, relative_error, save_pt, tiny_backbone

from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions

LENS = [160, 150, 60]
TASKS = ["a"] * len(LENS)


def step(backbone):
    """The encoder's output, the adapter's gradients, and the types that the adapter saw and gave."""
    adapter = random_adapter(["a"], backbone.width, scale=0.05)
    heads = adapter.for_tasks(TASKS)
    types = set()

    def after_layer(x, layer):
        out = heads(x, layer)
        types.update([x.dtype, heads.state.dtype, out.dtype])
        return out

    out, _ = backbone.encode(*random_features(LENS), after_layer)
    return out, torch.autograd.grad(out.square().mean(), list(adapter.parameters())), types


@pytest.mark.parametrize(("causal", "chunk_size"), [(False, None), (True, None), (True, 16)])
def test_bfloat16_is_nearly_float32(causal, chunk_size):
    backbone = tiny_backbone(causal=causal, chunk_size=chunk_size)
    expected, expected_gradients, _ = step(backbone)
    out, gradients, types = step(backbone.copy(precision="bfloat16"))
    assert types == {torch.float32}
    assert out.dtype == torch.float32
    assert 1e-4 < relative_error(out, expected) < 0.03
    for one, other in zip(gradients, expected_gradients):
        assert one.dtype == torch.float32
        assert relative_error(one, other) < 0.1


def test_bfloat16_with_everything_trained():
    gradients = []
    for precision in ("float32", "bfloat16"):
        backbone = tiny_backbone().copy(precision=precision).requires_grad_(True)
        out, _ = backbone.encode(*random_features(LENS))
        loss = out.square().mean()
        used = [p for name, p in backbone.named_parameters() if name.startswith(("encoder.", "encoder_embed."))]
        gradients.append(torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, used)]))
    assert relative_error(gradients[1], gradients[0]) < 0.1


def test_recomputing_in_bfloat16_changes_no_gradient():
    backbone = tiny_backbone().copy(precision="bfloat16")
    _, expected, _ = step(backbone)
    _, gradients, _ = step(backbone.copy(recompute=True))
    assert all(torch.equal(one, other) for one, other in zip(gradients, expected))


def test_an_untrained_head_changes_nothing_in_bfloat16():
    backbone = tiny_backbone().copy(precision="bfloat16")
    features, lens = random_features(LENS)
    untrained = random_adapter(["a"], backbone.width, scale=0.0)
    assert torch.equal(
        backbone.encode(features, lens, untrained.for_tasks(TASKS))[0], backbone.encode(features, lens)[0]
    )


def test_an_unknown_precision(tmp_path):
    save_pt(tiny_backbone(), tmp_path / "pretrained.pt")
    assert load_backbone(tmp_path, BackboneOptions(precision="bfloat16")).options.precision == "bfloat16"
    with refused("no such precision: 'bfloat'; did you mean 'bfloat16'"):
        load_backbone(tmp_path, BackboneOptions(precision="bfloat"))
