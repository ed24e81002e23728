"""What users have on disk, and what is refused."""

import pathlib

import pytest
import torch
from builders import random_features, refused, save_pt, tiny_backbone
from safetensors.torch import save_file

from hra_cli.backbone.checkpoint import find_checkpoint
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions

ON_CPU = BackboneOptions(device="cpu")


class Optimizer:
    """Something that only its own program can unpickle."""


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


def scaled(backbone, factor):
    return {name: tensor * factor for name, tensor in backbone.state_dict().items()}


@pytest.mark.parametrize(
    "place", ["pretrained.pt", "exp/pretrained.pt", "model.safetensors", "exp/model.safetensors", "exp/epoch-3.pt"]
)
def test_a_folder_will_do(backbone, tmp_path, place):
    file = tmp_path / place
    if file.suffix == ".pt":
        save_pt(backbone, file)
    else:
        file.parent.mkdir(exist_ok=True)
        save_file(backbone.state_dict(), file)
    assert find_checkpoint(tmp_path) == find_checkpoint(file) == file
    loaded = load_backbone(tmp_path, ON_CPU)
    assert loaded.sizes == backbone.sizes
    features, lens = random_features([40])
    assert torch.equal(loaded.encode(features, lens)[0], backbone.encode(features, lens)[0])


def test_the_last_epoch_is_taken(backbone, tmp_path):
    for epoch, factor in ((2, 1.0), (9, 1.5), (10, 2.0)):
        torch.save({"model": scaled(backbone, factor)}, tmp_path / f"epoch-{epoch}.pt")
    (tmp_path / "epoch-30-avg-9.pt").write_text("not an epoch")
    loaded = load_backbone(tmp_path, ON_CPU)
    assert torch.equal(loaded.joiner.output_linear.bias, 2.0 * backbone.joiner.output_linear.bias)


def test_an_exported_model_is_preferred_to_epochs(backbone, tmp_path):
    save_pt(backbone, tmp_path / "epoch-9.pt")
    save_pt(backbone, tmp_path / "pretrained.pt")
    assert find_checkpoint(tmp_path) == tmp_path / "pretrained.pt"


def test_averaged_weights_are_preferred(backbone, tmp_path):
    averaged = {name: tensor.double() for name, tensor in scaled(backbone, 0.5).items()}  # icefall keeps float64
    save_pt(backbone, tmp_path / "epoch-1.pt", model_avg=averaged, batch_idx_train=5, optimizer={"state": {}})
    loaded = load_backbone(tmp_path, ON_CPU)
    assert loaded.joiner.output_linear.bias.dtype == torch.float32
    assert torch.equal(loaded.joiner.output_linear.bias, 0.5 * backbone.joiner.output_linear.bias)
    save_pt(backbone, tmp_path / "epoch-2.pt", model_avg=None)
    loaded = load_backbone(tmp_path, ON_CPU)
    assert torch.equal(loaded.joiner.output_linear.bias, backbone.joiner.output_linear.bias)


def test_fingerprint_is_of_the_tensors_and_not_of_the_file(backbone, tmp_path):
    tensors = backbone.state_dict()
    save_pt(backbone, tmp_path / "a.pt", other="setting")
    save_file(dict(reversed(list(tensors.items()))), tmp_path / "b.safetensors", metadata={"made": "today"})
    first = load_backbone(tmp_path / "a.pt").fingerprint
    assert len(first) == 64
    assert load_backbone(tmp_path / "b.safetensors").fingerprint == first

    weight = tensors["joiner.output_linear.bias"].clone()
    weight.view(torch.int32)[3] ^= 1
    torch.save({"model": {**tensors, "joiner.output_linear.bias": weight}}, tmp_path / "c.pt")
    assert load_backbone(tmp_path / "c.pt").fingerprint != first


def test_a_half_precision_checkpoint_is_used_in_float32(backbone, tmp_path):
    half = {name: tensor.half() for name, tensor in backbone.state_dict().items()}
    torch.save({"model": half}, tmp_path / "pretrained.pt")
    loaded = load_backbone(tmp_path, ON_CPU)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.joiner.output_linear.bias, half["joiner.output_linear.bias"].float())


def test_modules_that_are_no_part_of_the_transducer_are_told_and_do_not_count(backbone, tmp_path):
    save_pt(backbone, tmp_path / "plain.pt")
    more = {"ctc_output.1.weight": torch.zeros(3, 3), "attention_decoder.decoder.embed.0.weight": torch.zeros(2, 2)}
    torch.save({"model": {**backbone.state_dict(), **more}}, tmp_path / "more.pt")
    notes = []
    loaded = load_backbone(tmp_path / "more.pt", note=notes.append)
    assert len(notes) == 1
    assert "attention_decoder, ctc_output" in notes[0]
    assert loaded.fingerprint == load_backbone(tmp_path / "plain.pt").fingerprint


def test_a_missing_folder_or_an_empty_one_is_refused(tmp_path):
    with refused(r"no recogniser at .*nowhere: no such file or folder"):
        load_backbone(tmp_path / "nowhere")
    (tmp_path / "exp").mkdir()
    with refused(r"expected pretrained\.pt, model\.safetensors or epoch-N\.pt there or in exp/"):
        load_backbone(tmp_path)


def test_what_icefall_saves_after_an_epoch_is_read(backbone, tmp_path):
    state = backbone.state_dict()
    settings = {"exp_dir": pathlib.Path("zipformer/exp"), "best_train_loss": float("inf"), "sampler": None}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))]).state_dict()
    model_avg = {name: tensor.double() for name, tensor in state.items()}
    save_pt(backbone, tmp_path / "exp" / "epoch-4.pt", model_avg=model_avg, optimizer=optimizer, **settings)
    loaded = load_backbone(tmp_path / "exp", ON_CPU).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


@pytest.mark.parametrize("thing", [Optimizer(), print], ids=["own", "code"])
def test_a_checkpoint_that_would_run_code_is_refused(backbone, tmp_path, thing):
    save_pt(backbone, tmp_path / "epoch-4.pt", exp_dir=thing)
    with refused(r"epoch-4\.pt holds more than tensors.*export\.py.*pretrained\.pt"):
        load_backbone(tmp_path)


def test_files_that_are_no_checkpoint_are_refused(backbone, tmp_path):
    file = tmp_path / "pretrained.pt"
    whole = save_pt(backbone, file).read_bytes()
    for content in (b"", b"hello, I am a text\nof two lines\n", bytes(1000), whole[: len(whole) // 2], whole[:-100]):
        file.write_bytes(content)
        with refused(r"pretrained\.pt is not a PyTorch checkpoint"):
            load_backbone(tmp_path)
    # A Git LFS pointer is what a clone without LFS leaves behind.
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n")
    with refused(r"pretrained\.pt is not a PyTorch checkpoint"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"model": {"a": 1}}, {"model": torch.zeros(2)}])
def test_other_contents_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "pretrained.pt")
    with refused("is not an icefall checkpoint: expected"):
        load_backbone(tmp_path)


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_a_torchscript_export_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "jit_script.pt"))
    with refused(r"jit_script\.pt is a TorchScript archive.*export\.py without --jit 1.*pretrained\.pt"):
        load_backbone(tmp_path / "jit_script.pt")


def test_a_truncated_safetensors_file_is_refused(backbone, tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(backbone.state_dict(), file)
    whole = file.read_bytes()
    for content in (b"", whole[:5], whole[:200], whole[:-1]):
        file.write_bytes(content)
        with refused(r"model\.safetensors is not a safetensors file, or is truncated"):
            load_backbone(tmp_path)


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        ("decoder.embedding.weight", "decoder.embedding.weight"),
        ("joiner.encoder_proj.", "joiner.encoder_proj.weight"),
        ("joiner.output_linear.", "joiner.output_linear.weight"),
        ("simple_am_proj.bias", "simple_am_proj.bias"),
        ("encoder.encoders.1.encoder.layers.1.norm.", "encoder.encoders.1.encoder.layers.1.norm."),
        ("encoder.encoders.", "encoder.encoders.0"),
        ("encoder.downsample_output.", "encoder.downsample_output.bias"),
        ("", "encoder.encoders.0"),
    ],
)
def test_a_model_that_is_no_transducer_is_refused(backbone, tmp_path, left_out, named):
    tensors = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith(left_out)}
    torch.save({"model": tensors or {"weight": torch.zeros(2)}}, tmp_path / "pretrained.pt")
    with refused(f"not an icefall Zipformer transducer: the tensor {named}.* is missing"):
        load_backbone(tmp_path)


def test_contradictory_shapes_are_refused(backbone, tmp_path):
    tensors = {**backbone.state_dict(), "joiner.output_linear.bias": torch.zeros(7)}
    torch.save({"model": tensors}, tmp_path / "pretrained.pt")
    with refused(r"not an icefall Zipformer transducer: .*joiner\.output_linear\.bias"):
        load_backbone(tmp_path)


def test_a_positional_head_dimension_that_does_not_fit_is_refused(backbone, tmp_path):
    save_pt(backbone, tmp_path / "pretrained.pt")
    # 2 heads · 4; 2 heads · 5; 2 heads · (2 · 6 + 4)
    with refused(r"dimension of 3 does not fit rows of linear_pos 8, self_attn1\.in_proj 10, .*in_proj 32;"):
        load_backbone(tmp_path, BackboneOptions(pos_head_dim=3))
    assert load_backbone(tmp_path, BackboneOptions(pos_head_dim=4)).sizes == backbone.sizes


def test_streaming_settings_that_do_not_fit_are_refused(backbone, tmp_path):
    save_pt(backbone, tmp_path / "plain.pt")
    save_pt(tiny_backbone(causal=True), tmp_path / "causal.pt")
    with refused("--chunk-size is for causal"):
        load_backbone(tmp_path / "plain.pt", BackboneOptions(chunk_size=16))
    for chunk_size in (6, 2):
        with refused(f"--chunk-size {chunk_size} must be a multiple of 4"):
            load_backbone(tmp_path / "causal.pt", BackboneOptions(chunk_size=chunk_size))
    for chunk_size in (0, -1):
        with refused("--chunk-size must be positive"):
            BackboneOptions(chunk_size=chunk_size)
    with refused("it needs --chunk-size"):
        BackboneOptions(left_context_frames=16)
    with refused("--left-context-frames must be 0 or more, not -16"):
        BackboneOptions(chunk_size=16, left_context_frames=-16)
    assert load_backbone(tmp_path / "causal.pt", BackboneOptions(chunk_size=12)).options.chunk_size == 12


ATTENTION = "encoder.encoders.0.layers.0.self_attn_weights."
LAYER = "encoder.encoders.1.encoder.layers.1."


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("decoder.embedding.weight", (30,)),
        ("decoder.embedding.weight", (0, 16)),
        ("decoder.conv.weight", (16, 4)),
        ("encoder.downsample_output.bias", ()),
        ("encoder.encoders.1.downsample.bias", (0,)),
        (ATTENTION + "linear_pos.weight", (8,)),
        (LAYER.replace("layers.1", "layers.0") + "norm.bias", (40, 1)),
        ("joiner.output_linear.weight", (30, 21)),
        ("simple_am_proj.weight", (1, 30, 40)),
        (LAYER + "feed_forward2.in_proj.weight", (80, 39)),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_named(backbone, tmp_path, name, shape):
    torch.save({"model": {**backbone.state_dict(), name: torch.zeros(shape)}}, tmp_path / "pretrained.pt")
    with refused(r"pretrained\.pt: not an icefall Zipformer transducer: ", f"{name} has shape {shape}"):
        load_backbone(tmp_path)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({ATTENTION + "in_proj.weight": (4, 24)}, "does not fit rows of linear_pos 8"),  # fewer than positions have
        ({ATTENTION + "linear_pos.weight": (8, 7)}, "7 dimensions of position"),
        ({"encoder.encoders.0.layers.0.conv_module1.depthwise_conv.weight": (24, 1, 6)}, "a kernel of 6 frames"),
        ({"decoder.conv.weight": (16, 5, 2)}, "16 channels of the decoder do not divide into groups of 5"),
    ],
)
def test_sizes_that_cannot_be_are_refused(backbone, tmp_path, shapes, message):
    changed = {name: torch.zeros(shape) for name, shape in shapes.items()}
    torch.save({"model": {**backbone.state_dict(), **changed}}, tmp_path / "pretrained.pt")
    with refused(message, tmp_path / "pretrained.pt"):
        load_backbone(tmp_path)


def test_sizes_that_would_take_terabytes_are_refused_before_anything_is_allocated(backbone, tmp_path):
    wide = {name: torch.zeros(400_000) for name in backbone.state_dict() if name.endswith("layers.0.norm.bias")}
    torch.save({"model": {**backbone.state_dict(), **wide}}, tmp_path / "pretrained.pt")
    with refused("self_attn_weights.in_proj.weight has shape .*, the others ask for .*400000"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("container", ["pretrained.pt", "model.safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bias: bias * float("nan"), "joiner.output_linear.bias has numbers that are not finite; copy or export"),
        (lambda bias: (bias + 1).double() * 1e300, "joiner.output_linear.bias has numbers that are not finite"),
        (lambda bias: bias.int(), "joiner.output_linear.bias is of type int32"),
        (lambda bias: bias > 0, "joiner.output_linear.bias is of type bool"),
    ],
)
def test_weights_that_are_no_finite_floats_are_refused(backbone, tmp_path, container, change, message):
    tensors = backbone.state_dict()
    tensors["joiner.output_linear.bias"] = change(tensors["joiner.output_linear.bias"])
    if container == "pretrained.pt":
        torch.save({"model": tensors}, tmp_path / container)
    else:
        save_file(tensors, tmp_path / container)
    with refused(message, tmp_path / container):
        load_backbone(tmp_path)


def test_more_than_tensors_in_the_format_of_old_torch(backbone, tmp_path):
    content = {"model": backbone.state_dict(), "exp_dir": pathlib.Path("exp")}
    torch.save(content, tmp_path / "epoch-1.pt", _use_new_zipfile_serialization=False)
    with refused(r"export\.py"):
        load_backbone(tmp_path)
