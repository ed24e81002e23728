"""The encoder on a GPU: on a real one, and what can be known of it without one."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from builders import random_adapter, random_features, refused, relative_error, save_pt, tiny_backbone
from devices import PRETENDED, cudnn_as_on_a_gpu, exactly, needs_cuda, needs_meta, no_waiting, pretended_gpu

from hra_cli.backbone import rows as rows_module
from hra_cli.backbone.frontend_cache import FrontendCache
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.baselines.lora import lora
from hra_cli.data.batches import Batch
from hra_cli.nn.device import to_device
from hra_cli.transducer.adapted import AdaptedModel

CUDA = torch.device("cuda", 0)
MODELS = {
    "plain": {},
    "causal, full context": {"causal": True},
    "causal, chunks": {"causal": True, "chunk_size": 16, "left_context_frames": 32},
}
LENS = [300, 100, 290, 60, 9, 298]
NAMES = ["a", "b"]
TASKS = ["a", "b", "a", "a", "b", "b"]


@pytest.fixture(params=MODELS)
def backbone(request):
    return tiny_backbone(**MODELS[request.param])


@needs_meta
@pytest.mark.parametrize(
    ("model", "head", "recompute"), [(name, "linear", False) for name in MODELS] + [("plain", "ffn", True)]
)
def test_a_pass_and_its_gradient_ask_the_device_for_nothing(model, head, recompute):
    backbone = tiny_backbone(**MODELS[model]).copy(recompute=recompute).to(PRETENDED)
    adapter = random_adapter(NAMES, backbone.width, head).to(PRETENDED)
    after_layer = adapter.for_tasks(TASKS)
    features, lens = random_features(LENS)
    with pretended_gpu() as device:
        out, out_lens = backbone.encode(to_device(features, device), lens, after_layer)
        gradients = torch.autograd.grad(out.sum(), list(adapter.parameters()))
    assert out.device == out_lens.device == device
    assert out.shape == (len(LENS), backbone.num_frames(max(LENS)), backbone.width)
    assert [gradient.shape for gradient in gradients] == [parameter.shape for parameter in adapter.parameters()]


@needs_meta
def test_a_method_that_reaches_inside_asks_the_device_for_nothing():
    method = lora(tiny_backbone(), NAMES, 4, torch.Generator().manual_seed(0)).to(PRETENDED)
    own = method.backbone.to(PRETENDED)
    method.for_tasks(TASKS)
    features, lens = random_features(LENS)
    with pretended_gpu() as device:
        out, _ = own.encode(to_device(features, device), lens)
        torch.autograd.grad(out.sum(), list(method.parameters()))


@needs_meta
def test_a_batch_of_the_host_is_sent_where_the_model_is():
    backbone = tiny_backbone(**MODELS["causal, chunks"]).to(PRETENDED)
    model = AdaptedModel(backbone, SimpleNamespace(vocab_size=backbone.sizes.vocab_size))
    with pretended_gpu() as device:
        out, lens = model.encode(batch_of(LENS))
    assert out.device == lens.device == device


def batch_of(lens):
    features, feature_lens = random_features(lens)
    ids = [f"cut-{n}" for n in range(len(lens))]
    return Batch(features, feature_lens, texts=[""] * len(lens), tasks=TASKS, ids=ids, durations=[1.0] * len(lens))


def test_the_larger_blocks_of_a_gpu_change_no_result(monkeypatch, backbone):
    features, lens = random_features([300, 100, 240, 9])
    expected, out_lens = backbone.encode(features, lens)
    _, rows = backbone.embed(features, lens)
    monkeypatch.setattr(rows_module, "LARGEST_GAP", rows_module.LARGEST_GAP_ON_GPU)
    monkeypatch.setattr(rows_module, "LARGEST_AREA", rows_module.LARGEST_AREA_ON_GPU)
    out, _ = backbone.encode(features, lens)
    _, larger = backbone.embed(features, lens)
    assert len(larger.blocks) < len(rows.blocks)
    for n, length in enumerate(out_lens.tolist()):
        assert relative_error(out[n, :length], expected[n, :length]) < 1e-5


def convolutions_by_cudnn(backbone):
    """A list to which each convolution of the front end and of the layers adds whether cuDNN might compute it."""
    seen = []
    for module in backbone.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
            module.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    return seen


def test_a_gpu_need_not_plan_for_every_new_length(monkeypatch, backbone):
    cudnn_as_on_a_gpu(monkeypatch, "hra_cli.backbone.model")
    seen = convolutions_by_cudnn(backbone)
    features, lens = random_features([60, 90])
    backbone.encode(features, lens)
    assert len(seen) > 12
    if backbone.options.left_context_frames is not None:
        size = backbone.chunk_features[1]
        backbone.encode_chunk(random_features([size])[0], backbone.start(1))
    assert not any(seen)
    assert torch.backends.cudnn.enabled


def test_float16_is_refused_on_the_cpu(tmp_path):
    backbone = tiny_backbone()
    save_pt(backbone, tmp_path / "pretrained.pt")
    for make in (
        lambda: load_backbone(tmp_path, BackboneOptions(precision="float16", device="cpu")),
        lambda: backbone.copy(precision="float16"),
    ):
        with refused("float16 needs a CUDA device; on the CPU use bfloat16 or float32"):
            make()


def test_bfloat16_is_refused_on_a_gpu_that_has_none(tmp_path, monkeypatch):
    save_pt(tiny_backbone(), tmp_path / "pretrained.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda device: pytest.MonkeyPatch.context())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla P100")
    with refused("Tesla P100 has no bfloat16; use float16 or float32"):
        load_backbone(tmp_path, BackboneOptions(precision="bfloat16", device="cuda:0"))


def on_both(backbone, precision="float32", lens=LENS):
    """The same pass on the CPU in float32 and on the GPU: outputs and the adapter's gradients, on the CPU."""
    features, feature_lens = random_features(lens)
    results = []
    for device, own in (
        (torch.device("cpu"), backbone),
        (CUDA, backbone.copy().to(CUDA).copy(precision=precision)),
    ):
        adapter = random_adapter(NAMES, own.width, scale=0.05).to(device)
        out, out_lens = own.encode(to_device(features, device), feature_lens, adapter.for_tasks(TASKS))
        assert out.device == out_lens.device == own.device == device
        assert out.dtype == torch.float32
        # Of what lies past an utterance's end nothing is promised.
        own_frames = torch.arange(out.shape[1], device=device) < out_lens.unsqueeze(1)
        out = out * own_frames.unsqueeze(2)
        gradients = torch.autograd.grad(out.square().mean(), list(adapter.parameters()))
        assert {gradient.device for gradient in gradients} == {device}
        results.append((out.detach().cpu(), out_lens.cpu(), [gradient.cpu() for gradient in gradients]))
    return results


@needs_cuda
def test_a_gpu_computes_what_the_cpu_does(backbone):
    with exactly():
        (expected, lens, expected_gradients), (out, out_lens, gradients) = on_both(backbone)
    assert torch.equal(out_lens, lens)
    assert relative_error(out, expected) < 1e-4
    for one, other in zip(gradients, expected_gradients):
        assert relative_error(one, other) < 1e-3


@needs_cuda
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.03), ("float16", 0.005)])
def test_half_precisions_are_nearly_float32(backbone, precision, tolerance):
    if precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        pytest.skip("this GPU has no bfloat16")
    (expected, _, expected_gradients), (out, _, gradients) = on_both(backbone, precision)
    assert 1e-5 < relative_error(out, expected) < tolerance
    for one, other in zip(gradients, expected_gradients):
        assert relative_error(one, other) < 0.1


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("recompute", [False, True])
def test_a_real_gpu_is_not_waited_for(backbone, recompute, precision):
    own = backbone.to(CUDA).copy(recompute=recompute, precision=precision)
    adapter = random_adapter(NAMES, own.width).to(CUDA)
    features, lens = random_features(LENS)
    for context in (contextlib.nullcontext, no_waiting):  # the first call also loads kernels
        after_layer = adapter.for_tasks(TASKS)
        with context():
            out, _ = own.encode(to_device(features, CUDA), lens, after_layer)
            torch.autograd.grad(out.sum(), list(adapter.parameters()))


@needs_cuda
def test_the_front_end_cached_on_a_gpu(tmp_path):
    model = AdaptedModel(tiny_backbone().to(CUDA), SimpleNamespace(vocab_size=30))
    expected, _ = model.encode(batch_of(LENS))
    model.frontend_cache = FrontendCache(tmp_path, model.backbone)
    for _ in range(2):
        assert torch.equal(model.encode(batch_of(LENS))[0], expected)


@needs_cuda
def test_a_recogniser_is_loaded_to_a_gpu(tmp_path):
    save_pt(tiny_backbone(), tmp_path / "pretrained.pt")
    for name in ("auto", "cuda", "cuda:0"):
        loaded = load_backbone(tmp_path, BackboneOptions(device=name))
        assert {parameter.device for parameter in loaded.parameters()} == {CUDA}
