"""Against numbers that icefall and k2 computed."""

import json

import pytest
import torch
from builders import relative_error
from safetensors.torch import load_file

from hra_cli.backbone.frontend import embedded_lens
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions

TOLERANCE = 1e-5
MODELS = {
    "zipformer-tiny": {},
    "zipformer-tiny-causal": {"chunk_size": 16, "left_context_frames": 32},
    "zipformer-tiny-ctc": {},
}


@pytest.fixture(params=MODELS)
def model(request, shared):
    """A backbone, and the tensors and settings that were recorded from it."""
    folder = shared / "fixtures" / request.param
    backbone = load_backbone(folder, BackboneOptions(device="cpu", **MODELS[request.param]))
    return backbone, load_file(folder / "expected.safetensors"), json.loads((folder / "expected.json").read_text())


def numbers(text):
    return [int(part) for part in str(text).split(",")]


def test_sizes_are_read_from_the_checkpoint_alone(model):
    backbone, _, settings = model
    stacks = backbone.sizes.stacks
    for field, flag in (
        ("layers", "num_encoder_layers"),
        ("downsampling", "downsampling_factor"),
        ("width", "encoder_dim"),
        ("feedforward", "feedforward_dim"),
        ("heads", "num_heads"),
        ("kernel", "cnn_module_kernel"),
    ):
        assert [getattr(stack, field) for stack in stacks] == numbers(settings[flag]), flag
    for field in ("query_head_dim", "value_head_dim", "pos_head_dim", "pos_dim"):
        assert {getattr(stack, field) for stack in stacks} == set(numbers(settings[field])), field
    for field in ("decoder_dim", "joiner_dim", "context_size", "vocab_size", "causal"):
        assert getattr(backbone.sizes, field) == type(getattr(backbone.sizes, field))(settings[field]), field
    assert backbone.width == max(numbers(settings["encoder_dim"]))
    assert len(backbone.layer_widths()) == sum(numbers(settings["num_encoder_layers"]))


def test_front_end_equals_icefall(model):
    backbone, expected, _ = model
    lens = embedded_lens(expected["feature_lens"])
    assert torch.equal(lens, expected["embed_lens"])
    embedded = backbone.encoder_embed(expected["features"])
    assert relative_error(embedded, expected["embed_out"]) < TOLERANCE


def test_every_layer_equals_icefall(model):
    backbone, expected, settings = model
    outputs, layers = {}, []

    def keep(x, layer):
        outputs[layer.name] = x
        layers.append(layer)
        return x

    backbone.encode(expected["features"], expected["feature_lens"], keep, icefall_padding=True)
    assert list(outputs) == settings["layers"]
    errors = {name: relative_error(x, expected[f"layer/{name}"]) for name, x in outputs.items()}
    assert max(errors.values()) < TOLERANCE, errors
    for layer in layers:
        assert layer.width == outputs[layer.name].shape[2]
        assert torch.equal(layer.lens, -(-expected["embed_lens"] // layer.downsampling))


def test_encoder_output_equals_icefall(model):
    backbone, expected, _ = model
    out, lens = backbone.encode(expected["features"], expected["feature_lens"], icefall_padding=True)
    assert torch.equal(lens, expected["encoder_out_lens"])
    assert lens.tolist() == [backbone.num_frames(frames) for frames in expected["feature_lens"].tolist()]
    assert relative_error(out, expected["encoder_out"]) < TOLERANCE


def test_decoder_and_joiner_equal_icefall(model):
    backbone, expected, _ = model
    decoder_out = backbone.decoder(expected["decoder_contexts"], need_pad=False)
    assert relative_error(decoder_out, expected["decoder_out"]) < TOLERANCE
    logits = backbone.joiner(expected["encoder_out"][:1, :4], expected["decoder_out"].transpose(0, 1))
    assert relative_error(logits.view_as(expected["joiner_logits"]), expected["joiner_logits"]) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_unused_ctc_output_is_told(shared, name):
    notes = []
    load_backbone(shared / "fixtures" / name, note=notes.append)
    if name == "zipformer-tiny-ctc":
        assert len(notes) == 1
        assert "ctc_output" in notes[0]
    else:
        assert notes == []


def test_encoder_output_of_recorded_speech(shared):
    """In icefall's batch, whose padding leaks, and each utterance by itself, as icefall never computes in a batch."""
    backbone = load_backbone(shared / "models" / "zipformer-tts-en", BackboneOptions(device="cpu"))
    expected = load_file(shared / "fixtures" / "zipformer-tts-en" / "expected.safetensors")
    for name, icefall_padding in (("encoder_out", True), ("encoder_out_alone", False)):
        out, lens = backbone.encode(expected["features"], expected["feature_lens"], icefall_padding=icefall_padding)
        assert torch.equal(lens, expected["encoder_out_lens"])
        for n, length in enumerate(lens.tolist()):
            assert relative_error(out[n, :length], expected[name][n, :length]) < TOLERANCE, (name, n)
