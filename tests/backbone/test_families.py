"""A checkpoint that is no Zipformer transducer is refused by what it is."""

import pytest
import torch
from builders import heads_of, random_adapter, refused, save_pt, tiny_backbone
from safetensors.torch import save_file

from hra_cli.adapter.head_file import write_controller, write_head
from hra_cli.backbone.model import load_backbone

CONFORMER_LAYER = (
    "encoder.encoder_embed.conv.0.weight",
    "encoder.encoder.layers.0.self_attn.in_proj.weight",
    "encoder.encoder.layers.0.self_attn.linear_pos.weight",
    "encoder.encoder.layers.0.conv_module.pointwise_conv1.weight",
)
JOINER = ("joiner.encoder_proj.weight", "joiner.output_linear.weight")
TRANSDUCER = ("decoder.embedding.weight", "decoder.conv.weight", *JOINER)
ZIPFORMER = ("encoder_embed.conv.0.weight", "encoder.encoders.0.layers.0.self_attn_weights.in_proj.weight")
WAVEFORM = ("feature_extractor.conv_layers.0.0.weight", "mask_emb", "layer_norm.weight")
# What it is called, and some of its tensors under the names that the recipe or library gives them.
KNOWN = {
    "a Conformer transducer": (*CONFORMER_LAYER, "encoder.encoder.layers.0.norm_ff.weight", *TRANSDUCER),
    "a reworked Conformer transducer": (*CONFORMER_LAYER, "encoder.encoder.layers.0.norm_final.eps", *TRANSDUCER),
    "a transducer with an LSTM decoder": (
        *CONFORMER_LAYER, "encoder.encoder.layers.0.norm_ff.weight", "decoder.rnn.weight_ih_l0", *JOINER
    ),
    "a transducer with an LSTM encoder": ("encoder.encoder.layers.0.lstm.weight_ih_l0", *TRANSDUCER),
    "a streaming Emformer": ("encoder.encoder.emformer_layers.0.attention.emb_to_query.weight", *TRANSDUCER),
    "a streaming Emformer or": ("encoder.model.emformer_layers.0.attention.emb_to_query.weight", *TRANSDUCER),
    "a transducer with the first Zipformer": (
        "encoder.encoder_embed.conv.0.weight", "encoder.encoders.0.layers.0.self_attn.in_proj.weight",
        "encoder.encoders.0.layers.0.pooling.proj.weight", *TRANSDUCER,
    ),
    "a Zipformer with CTC alone": (*ZIPFORMER, "ctc_output.1.weight"),
    "a Zipformer with CTC alone, ": (*ZIPFORMER, "ctc_output.1.weight", "attention_decoder.decoder.embed.0.weight"),
    "a Zipformer that labels sounds": (*ZIPFORMER, "classifier.1.weight"),
    "a Conformer or Transformer of icefall with CTC": (
        "encoder_embed.conv.0.weight", "encoder.layers.0.self_attn.in_proj.weight", "encoder_output_layer.1.weight"
    ),
    "a TDNN or TDNN-LSTM": ("tdnn.0.weight", "lstms.0.weight_ih_l0", "linear.weight"),
    r"a Zipformer of icefall's SSL recipes \(k2SSL\)": (
        *WAVEFORM, "encoder.encoders.0.layers.0.self_attn_weights.in_proj.weight", "final_proj.weight"
    ),
    r"a Zipformer of icefall's SSL recipes": (
        "encoder.feature_extractor.conv_layers.0.0.weight",
        "encoder.encoder.encoders.0.layers.0.self_attn_weights.in_proj.weight", *TRANSDUCER,
    ),
    "a HuBERT or wav2vec 2.0 model": (*WAVEFORM, "encoder.layers.0.self_attn.k_proj.weight"),
    "a wav2vec 2.0, HuBERT or WavLM model of transformers": (
        "wav2vec2.masked_spec_embed", "wav2vec2.feature_extractor.conv_layers.0.conv.weight", "lm_head.weight"
    ),
    "a Whisper model; ": ("encoder.blocks.0.attn.query.weight", "decoder.token_embedding.weight"),
    "a Whisper model of transformers": (
        "model.encoder.layers.0.self_attn.k_proj.weight", "model.decoder.embed_tokens.weight"
    ),
    "a SenseVoice or Paraformer": ("encoder.encoders0.0.self_attn.fsmn_block.weight", "ctc.ctc_lo.weight"),
    "a model of NeMo": ("encoder.pre_encode.conv.0.weight", "encoder.layers.0.self_attn.linear_q.weight"),
    "a model of ESPnet or WeNet": ("encoder.encoders.0.self_attn.linear_q.weight", "ctc.ctc_lo.weight"),
    "a speech encoder before a language model": (
        "encoder.encoder.blocks.0.attn.query.weight", "encoder_projector.linear1.weight"
    ),
    "a language model": ("input_embedding.weight", "rnn.weight_ih_l0", "output_linear.weight"),
}  # fmt: skip


def tensors_named(names):
    return {name: torch.zeros(2) for name in names}


@pytest.mark.parametrize("what", KNOWN)
def test_another_model_is_named(tmp_path, what):
    tensors = tensors_named(KNOWN[what])
    torch.save({"model": tensors}, tmp_path / "pretrained.pt")
    with refused(rf"pretrained\.pt is {what}.*; "):
        load_backbone(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors")
    with refused(rf"model\.safetensors is {what}.*; "):
        load_backbone(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("with LoRA in it", "encoder.encoders.0.layers.0.self_attn1.in_proj.lora_A"),
        ("with adapters in it", "encoder.encoders.0.layers.0.mid_adapter.proj.weight"),
        ("with adapters in it", "encoder.encoders.1.encoder.layers.0.adapter.proj.weight"),
    ],
)
def test_a_whole_recogniser_with_more_in_it_than_would_be_run_is_refused(tmp_path, what, more):
    tensors = tiny_backbone().state_dict()
    torch.save({"model": {**tensors, more: torch.zeros(2, 2)}}, tmp_path / "pretrained.pt")
    with refused(rf"pretrained\.pt is a recogniser {what}.*the recogniser that it was begun from"):
        load_backbone(tmp_path)
    torch.save({"model": tensors}, tmp_path / "pretrained.pt")
    load_backbone(tmp_path)


@pytest.mark.parametrize("around", [lambda tensors: tensors, lambda tensors: {"dims": {}, "model_state_dict": tensors}])
def test_another_model_is_named_as_its_own_program_saves_it(tmp_path, around):
    torch.save(around(tensors_named(KNOWN["a Whisper model; "])), tmp_path / "pretrained.pt")
    with refused(r"pretrained\.pt is a Whisper model; "):
        load_backbone(tmp_path)


def test_the_state_of_an_optimiser_is_named(tmp_path):
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    torch.save(optimiser.state_dict(), tmp_path / "optimiser.pt")
    with refused(r"optimiser\.pt is the state of an optimiser, and no recogniser"):
        load_backbone(tmp_path / "optimiser.pt")


def test_a_head_and_a_controller_are_named(tmp_path):
    adapter = random_adapter(["ann"], 16)
    write_head(tmp_path / "ann.safetensors", heads_of(adapter)[0])
    with refused(r"ann\.safetensors is a head of hra, and no recogniser; give it with --head$"):
        load_backbone(tmp_path / "ann.safetensors")
    write_controller(tmp_path / "controller.safetensors", adapter.controller, "b" * 64)
    with refused(r"is a controller of hra, and no recogniser; give it with --controller$"):
        load_backbone(tmp_path / "controller.safetensors")


@pytest.mark.parametrize(("name", "what"), [("encoder.onnx", "an ONNX graph"), ("parakeet.nemo", "a model of NeMo")])
def test_files_of_other_programs_are_named(tmp_path, name, what):
    (tmp_path / name).write_bytes(b"\x08\x08\x12\x07pytorch")
    with refused(rf"{name} is {what}"):
        load_backbone(tmp_path / name)


def test_an_export_in_the_place_of_a_checkpoint_is_pointed_at(tmp_path):
    save_pt(tiny_backbone(), tmp_path / "exp" / "cpu_jit.pt")
    (tmp_path / "encoder-epoch-30-avg-9.onnx").write_bytes(b"")
    with refused("expected pretrained.pt", "encoder-epoch-30-avg-9.onnx, exp/cpu_jit.pt", "no checkpoint"):
        load_backbone(tmp_path)
