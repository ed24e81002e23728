"""What an utterance's output may depend on, and what a pass may leave behind."""

import pytest
import torch
from builders import random_adapter, random_features, refused, relative_error, save_pt, tiny_backbone

from hra_cli.backbone.frontend import MIN_FEATURE_FRAMES
from hra_cli.backbone.model import load_backbone
from hra_cli.errors import HraError

# Shorter than any chunk, one frame, lengths that leave every remainder at the downsampling rates, a long one.
LENS = [150, 25, 9, 61, 98, 104, 12, 31]

VARIANTS = {
    "plain": {},
    "causal, full context": {"causal": True},
    "causal, chunk 8": {"causal": True, "chunk_size": 8},
    "causal, chunk 8, left context 16": {"causal": True, "chunk_size": 8, "left_context_frames": 16},
    "causal, chunk 16, left context 32": {"causal": True, "chunk_size": 16, "left_context_frames": 32},
}


def largest_difference_to_alone(backbone, lens, **options):
    """Over the utterances: the relative error of their frames in the batch against those alone."""
    features, feature_lens = random_features(lens)
    together, together_lens = backbone.encode(features, feature_lens, **options)
    largest = 0.0
    for n, length in enumerate(lens):
        alone, alone_lens = backbone.encode(features[n : n + 1, :length], feature_lens[n : n + 1])
        assert alone_lens.tolist() == [alone.shape[1]] == [together_lens[n]]
        largest = max(largest, relative_error(together[n, : alone.shape[1]], alone[0]))
    return largest


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_utterance_comes_out_of_a_batch_as_alone(variant):
    assert largest_difference_to_alone(tiny_backbone(**VARIANTS[variant]), LENS) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
def test_icefalls_padding_leaks(variant):
    assert largest_difference_to_alone(tiny_backbone(**VARIANTS[variant]), LENS, icefall_padding=True) > 1e-2


def test_all_utterances_shorter_than_a_chunk():
    backbone = tiny_backbone(causal=True, chunk_size=32, left_context_frames=32)
    assert largest_difference_to_alone(backbone, [9, 20, 33, 54, 57]) < 1e-5


def test_what_lies_in_the_padding_does_not_matter():
    backbone = tiny_backbone()
    features, lens = random_features([100, 41])
    out, out_lens = backbone.encode(features, lens)
    features[1, 41:] = 7.0
    again, _ = backbone.encode(features, lens)
    assert torch.equal(again[1, : out_lens[1]], out[1, : out_lens[1]])


@pytest.mark.parametrize(
    ("chunk_size", "left_context_frames", "chunks_seen"), [(8, 16, 1), (8, None, 3), (16, 32, 1), (16, 0, 2)]
)
def test_a_chunk_does_not_see_what_comes_later(chunk_size, left_context_frames, chunks_seen):
    """The front end looks ahead: embedded frame t is made of feature frames 2t - 6 … 2t + 14 (its three convolutions
    take 2t … 2t + 8, and the 7×7 one adds 3 embedded frames on each side). Chunks up to the embedded frame `end`,
    exclusively, hence see feature frames up to 2 (end - 1) + 14, and not one more."""
    backbone = tiny_backbone(causal=True, chunk_size=chunk_size, left_context_frames=left_context_frames)
    features, lens = random_features([199])
    out, _ = backbone.encode(features, lens)
    end = chunk_size * chunks_seen
    last_seen = 2 * (end - 1) + 14

    later = features.clone()
    later[:, last_seen + 1 :] += 5.0
    changed, _ = backbone.encode(later, lens)
    assert relative_error(changed[:, : end // 2], out[:, : end // 2]) < 1e-6
    assert relative_error(changed[:, end // 2 :], out[:, end // 2 :]) > 1e-2

    seen = features.clone()
    seen[:, last_seen] += 5.0
    changed, _ = backbone.encode(seen, lens)
    assert relative_error(changed[:, : end // 2], out[:, : end // 2]) > 1e-4


def test_left_context_is_limited():
    """Without left context, attention stays in its chunk; each of the 5 layers' 2 convolutions reaches back less than
    one chunk of 8. Hence a chunk sees at most 10 chunks back, and chunk 11 nothing of chunk 0, whose own feature
    frames, seen by no later embedded frame than 7, end at 2 (8 - 3) - 1."""
    features, lens = random_features([2 * 96 + 7])
    other = features.clone()
    other[:, : 2 * (8 - 3)] += 5.0
    for left_context_frames, reaches in ((0, False), (None, True)):
        backbone = tiny_backbone(causal=True, chunk_size=8, left_context_frames=left_context_frames)
        last_chunk = [backbone.encode(x, lens)[0][:, 44:] for x in (features, other)]
        assert last_chunk[0].shape[1] == 4
        assert (relative_error(*last_chunk) > 1e-6) == reaches


def test_a_chunked_pass_differs_from_full_context():
    features, lens = random_features([150])
    full, _ = tiny_backbone(causal=True).encode(features, lens)
    chunked, _ = tiny_backbone(causal=True, chunk_size=8).encode(features, lens)
    assert relative_error(chunked, full) > 1e-2


def test_the_shortest_utterance_that_is_encoded():
    backbone = tiny_backbone()
    features, lens = random_features([MIN_FEATURE_FRAMES])
    out, out_lens = backbone.encode(features, lens)
    assert out.shape == (1, 1, backbone.width)
    assert out_lens.tolist() == [1]
    assert bool(out.isfinite().all())
    with pytest.raises(HraError, match="has 8 feature frames; the encoder needs 9"):
        backbone.encode(features[:, :8], lens - 1)
    assert [backbone.num_frames(frames) for frames in (8, 9, 10, 11, 12, 13)] == [0, 1, 1, 1, 1, 2]


def test_the_backbone_stays_frozen():
    backbone = tiny_backbone()
    for each in (backbone, backbone.train(), torch.nn.ModuleList([backbone]).train()):
        assert each is not None
        assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_a_copy_is_run_in_another_way_and_leaves_the_original_as_it_was():
    backbone = tiny_backbone(causal=True)
    features, lens = random_features([150])
    full, _ = backbone.encode(features, lens)
    copied = backbone.copy(chunk_size=8, left_context_frames=16)
    expected = tiny_backbone(causal=True, chunk_size=8, left_context_frames=16).encode(features, lens)[0]
    assert torch.equal(copied.encode(features, lens)[0], expected)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(backbone.encode(features, lens)[0], full)
    with refused("--chunk-size 6 must be a multiple of 4"):
        backbone.copy(chunk_size=6)
    with refused("--chunk-size is for causal"):
        tiny_backbone().copy(chunk_size=8)


def test_a_loaded_backbone_is_frozen_and_leaves_the_random_generator_alone(tmp_path):
    file = save_pt(tiny_backbone(), tmp_path / "pretrained.pt")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    backbone = load_backbone(file)
    assert torch.equal(torch.get_rng_state(), before)
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_training_an_adapter_writes_nothing_into_the_backbone():
    backbone = tiny_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    adapter = random_adapter(["ann", "bob"], backbone.width)
    optimizer = torch.optim.AdamW([*adapter.parameters(), *backbone.parameters()], lr=0.1, weight_decay=0.1)
    features, lens = random_features([60, 45])
    backbone.train()
    for _ in range(2):
        optimizer.zero_grad()
        out, _ = backbone.encode(features, lens, adapter.for_tasks(["bob", "ann"]))
        out.square().sum().backward()
        optimizer.step()
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    assert [name for name in before if not torch.equal(after[name], before[name])] == []
    assert all(parameter.grad is None for parameter in backbone.parameters())


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_finite_where_exp_overflows(causal):
    backbone = tiny_backbone(causal=causal)
    largest = {}
    for place in ("encoder_embed.conv.0", "encoder_embed.conv.7", "encoder_embed.convnext.pointwise_conv1"):
        backbone.get_submodule(place).register_forward_hook(
            lambda module, inputs, output, place=place: largest.update({place: output.max().item()})
        )
    features, lens = random_features([60, 45])
    features = (features * 50).requires_grad_()
    out, _ = backbone.encode(features, lens)
    (gradient,) = torch.autograd.grad(out.square().sum(), features)
    assert len(largest) == 3
    assert min(largest.values()) > 93  # 88 and the 4 that SwooshL subtracts
    assert bool(out.isfinite().all())
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


def test_an_adapters_gradients_are_finite_where_exp_overflows():
    backbone = tiny_backbone()
    adapter = random_adapter(["ann"], backbone.width, scale=300.0)
    largest = {}
    layer = backbone.encoder.encoders[1].encoder.layers[1]
    layer.feed_forward1.in_proj.register_forward_hook(
        lambda module, inputs, output: largest.update(feed_forward=output.max().item())
    )
    features, lens = random_features([60, 45])
    out, _ = backbone.encode(features, lens, adapter.for_tasks(["ann", "ann"]))
    out.square().mean().backward()
    assert largest["feed_forward"] > 93
    for name, parameter in adapter.named_parameters():
        assert bool(parameter.grad.isfinite().all()), name
        assert float(parameter.grad.abs().max()) > 0, name
