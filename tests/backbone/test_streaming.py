"""Streams, chunk by chunk: against icefall's own streaming code, against whole utterances, and beside each other."""

import json

import pytest
import torch
from builders import LOG_EPSILON, random_adapter, random_features, refused, relative_error, tiny_backbone
from safetensors.torch import load_file

from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.stream_state import join

TOLERANCE = 1e-5
NAMES = ["0", "1", "2", "short"]


@pytest.fixture(scope="module")
def icefall():
    """The recogniser, what icefall's streaming code made of four utterances, and the features that it was fed."""
    from pathlib import Path

    folder = Path(__file__).parents[3] / "shared" / "fixtures" / "zipformer-tiny-causal"
    if not folder.is_dir():
        pytest.skip("needs ../shared")
    backbone = load_backbone(folder, BackboneOptions(chunk_size=16, left_context_frames=32, device="cpu"))
    whole, schedule = load_file(folder / "expected.safetensors"), json.loads((folder / "streaming.json").read_text())
    shift, take = backbone.chunk_features
    assert (shift, take - shift) == (schedule["feature_frames_per_chunk"], schedule["look_ahead_feature_frames"])
    fed = {}
    for utterance in schedule["utterances"]:
        name = utterance["name"]
        row = 0 if name == "short" else int(name)
        own = whole["features"][row, : utterance["feature_frames"]]
        fed[name] = padded(own, (len(utterance["chunks"]) - 1) * shift + take)
    return backbone, load_file(folder / "streaming.safetensors"), fed


def padded(features, frames):
    return torch.cat([features, torch.full((frames - len(features), 80), LOG_EPSILON)])


def chunks_of(backbone, features):
    """What a stream is fed, one after the other, as many whole chunks as there are."""
    shift, take = backbone.chunk_features
    return [features[begin : begin + take] for begin in range(0, len(features) - take + 1, shift)]


@torch.no_grad()
def streamed(backbone, features, after_layer=lambda: None):
    state, out = backbone.start(1), []
    for chunk in chunks_of(backbone, features):
        encoder_out, state = backbone.encode_chunk(chunk.unsqueeze(0), state, after_layer())
        out.append(encoder_out[0])
    return torch.cat(out)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_states_are_icefalls(icefall, name):
    backbone, expected, fed = icefall
    state, out = backbone.start(1), []
    for number, chunk in enumerate(chunks_of(backbone, fed[name])):
        encoder_out, state = backbone.encode_chunk(chunk.unsqueeze(0), state)
        out.append(encoder_out[0])
        if number == 0:
            first = state
    assert relative_error(torch.cat(out), expected[f"encoder_out/{name}"]) < TOLERANCE
    for when, got in (("first", first), ("last", state)):
        recorded = {key.split("/")[2]: tensor for key, tensor in expected.items() if f"states_{when}/{name}/" in key}
        assert recorded.keys() == got.named().keys()
        for key, tensor in got.named().items():
            assert tensor.shape == recorded[key].shape, key
            assert relative_error(tensor.float(), recorded[key].float()) < TOLERANCE, (when, key)


def test_streams_that_begin_and_end_at_different_times_come_out_as_alone(icefall):
    """Stream n begins n steps after the first; each leaves the batch when its chunks are used up."""
    backbone, expected, fed = icefall
    begins = {name: begin for begin, name in enumerate(NAMES)}
    chunks = {name: chunks_of(backbone, fed[name]) for name in NAMES}
    states, out = {name: backbone.start(1) for name in NAMES}, {name: [] for name in NAMES}
    sizes = []
    for step in range(max(begins[name] + len(chunks[name]) for name in NAMES)):
        now = [name for name in NAMES if 0 <= step - begins[name] < len(chunks[name])]
        features = torch.stack([chunks[name][step - begins[name]] for name in now])
        encoder_out, state = backbone.encode_chunk(features, join([states[name] for name in now]))
        assert len(state) == len(now)
        sizes.append(len(now))
        for name, own, own_state in zip(now, encoder_out, state.split()):
            out[name].append(own)
            states[name] = own_state
    assert max(sizes) == len(NAMES)
    assert min(sizes) == 1
    for name in NAMES:
        assert relative_error(torch.cat(out[name]), expected[f"encoder_out/{name}"]) < TOLERANCE


@pytest.mark.parametrize(("chunk_size", "left_context_frames"), [(4, 8), (8, 0), (8, 64), (16, 32), (32, 32)])
@pytest.mark.parametrize("head", [None, "linear", "ffn"])
def test_a_stream_equals_the_masked_whole_of_the_same_features(chunk_size, left_context_frames, head):
    backbone = tiny_backbone(causal=True, chunk_size=chunk_size, left_context_frames=left_context_frames)
    adapter = None if head is None else random_adapter(["ann", "bob"], backbone.width, head)

    def after_layer():
        return None if adapter is None else adapter.for_tasks(["bob"])

    (own,), _ = random_features([210])
    whole, _ = backbone.encode(own.unsqueeze(0), torch.tensor([210]), after_layer())
    in_chunks = streamed(backbone, own, after_layer)
    # Of the last chunk ConvNeXt has seen more than zeros, and the whole goes on for a frame or two.
    assert whole.shape[1] - chunk_size / 2 - 2 <= len(in_chunks) <= whole.shape[1]
    assert relative_error(in_chunks, whole[0, : len(in_chunks)]) < TOLERANCE
    if adapter is not None:
        assert relative_error(in_chunks, streamed(backbone, own)) > 0.05  # the head does something


def test_each_stream_has_its_own_head():
    backbone = tiny_backbone(causal=True, chunk_size=8, left_context_frames=16)
    tasks = ["ann", "bob", "eve"]
    adapter = random_adapter(tasks, backbone.width)
    features, _ = random_features([100, 100, 100])
    state, out = backbone.start(3), []
    for chunks in zip(*(chunks_of(backbone, own) for own in features)):
        encoder_out, state = backbone.encode_chunk(torch.stack(chunks), state, adapter.for_tasks(tasks))
        out.append(encoder_out)
    for n, task in enumerate(tasks):
        alone = streamed(backbone, features[n], lambda task=task: adapter.for_tasks([task]))
        assert relative_error(torch.cat(out, dim=1)[n], alone) < TOLERANCE


def test_what_cannot_stream_is_refused():
    with refused("a stream needs --chunk-size and --left-context-frames"):
        tiny_backbone(causal=True, chunk_size=8).start(1)
    with refused("must be a multiple of --chunk-size 16 for a stream"):
        tiny_backbone(causal=True, chunk_size=16, left_context_frames=24).start(1)
    with refused("a stream needs --chunk-size"):
        tiny_backbone().start(1)
