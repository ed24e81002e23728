"""A small random recogniser, features for it, and what the tests of several folders ask of errors and numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.adapter.head_file import Head, controller_fingerprint
from hra_cli.backbone.model import Backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.sizes import BackboneSizes, StackSizes
from hra_cli.errors import HraError
from hra_cli.io.tensors import fingerprint

LOG_EPSILON = -23.025850929940457
# Fingerprints.
BACKBONE = "b" * 64
TOKENIZER = "c" * 64


def tiny_sizes(causal: bool = False, vocab_size: int = 30) -> BackboneSizes:
    """Four stacks of different widths and frame rates, the widest inside; the last is at twice the third's rate."""

    def stack(layers: int, downsampling: int, width: int, heads: int, kernel: int) -> StackSizes:
        return StackSizes(
            layers=layers,
            downsampling=downsampling,
            width=width,
            feedforward=2 * width,
            heads=heads,
            query_head_dim=6,
            value_head_dim=5,
            pos_head_dim=4,
            pos_dim=8,
            kernel=kernel,
        )

    return BackboneSizes(
        stacks=[stack(1, 1, 24, 2, 7), stack(2, 2, 40, 4, 5), stack(1, 4, 32, 2, 3), stack(1, 2, 24, 2, 5)],
        output_downsampling=2,
        causal=causal,
        decoder_dim=16,
        decoder_group_size=4,
        context_size=2,
        joiner_dim=20,
        vocab_size=vocab_size,
    )


def tiny_backbone(
    seed: int = 0,
    causal: bool = False,
    chunk_size: int | None = None,
    left_context_frames: int | None = None,
    vocab_size: int = 30,
    sizes: BackboneSizes | None = None,
) -> Backbone:
    """A recogniser of `tiny_sizes`, or of others, whose every parameter is random."""
    with torch.random.fork_rng(devices=[]):
        backbone = Backbone(
            sizes or tiny_sizes(causal, vocab_size),
            BackboneOptions(chunk_size=chunk_size, left_context_frames=left_context_frames),
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bypass_scale"):
                parameter.copy_(0.6 + 0.2 * noise.clamp(-1, 1))
            elif name.endswith(("chunkwise_conv_scale", "log_scale")):
                parameter.copy_(0.3 * noise)
            elif parameter.dim() > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            elif "downsample" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(0.2 * noise)
        # As in trained models, what comes out varies with time and with the last tokens, and blank is one choice
        # among others.
        backbone.encoder_embed.conv["0"].weight.sub_(backbone.encoder_embed.conv["0"].weight.mean())
        backbone.joiner.encoder_proj.weight.mul_(3.0)
        backbone.joiner.decoder_proj.weight.mul_(4.0)
        backbone.joiner.output_linear.weight.mul_(4.0)
    backbone.fingerprint = fingerprint(backbone.state_dict())
    return backbone


def random_adapter(
    tasks: Sequence[str], width: int, head: str = "linear", seed: int = 0, scale: float = 0.3, hidden: int = 12
) -> Adapter:
    """An adapter as if trained: no parameter is zero, and heads of different tasks differ."""
    adapter = new_adapter(tasks, width, hidden=hidden, head=head, inner=6, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in adapter.bank.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
        adapter.controller.bias.copy_(0.1 * torch.randn(hidden, generator=generator))
    return adapter


def random_features(lens: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, max(lens), 80) of the size of log-mel energies, padded as lhotse pads, and their lengths (N,).

    An utterance's features depend on the seed and on its place in the list, and not on the other lengths.
    """
    features = torch.full((len(lens), max(lens), 80), LOG_EPSILON)
    for index, length in enumerate(lens):
        generator = torch.Generator().manual_seed(1000 * seed + index)
        sounds = torch.randn(-(-length // 6), 80, generator=generator).repeat_interleave(6, dim=0)[:length]
        features[index, :length] = 4.0 * sounds + torch.randn(length, 80, generator=generator) - 6.0
    return features, torch.tensor(list(lens))


def save_pt(backbone: Backbone, file: Path, **more: object) -> Path:
    """A pretrained.pt, as icefall's export.py writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": backbone.state_dict(), **more}, file)
    return file


def relative_error(actual: Tensor, expected: Tensor) -> float:
    assert actual.shape == expected.shape
    return ((actual - expected).norm() / expected.norm()).item()


def heads_of(adapter: Adapter, bundled: bool = True) -> list[Head]:
    """The adapter's heads, as of the backbone BACKBONE and the tokenizer TOKENIZER."""
    controller = adapter.controller.tensors()
    return [
        Head(
            task=task,
            kind=adapter.bank.kind,
            width=adapter.controller.width,
            hidden=adapter.controller.hidden,
            inner=adapter.bank.sizes.inner,
            backbone_fingerprint=BACKBONE,
            controller_fingerprint=controller_fingerprint(controller),
            tokenizer_fingerprint=TOKENIZER,
            tensors=adapter.bank.tensors(index),
            controller=controller if bundled else None,
            training={"method": "joint", "seed": 1, "steps": 120},
            scores={"test": {"wer": 12.5, "words": 80}},
        )
        for index, task in enumerate(adapter.tasks)
    ]


@contextlib.contextmanager
def refused(match: str, *parts: object) -> Iterator[None]:
    """The block must raise an HraError whose message matches, has every one of `parts` in it, and is one line."""
    with pytest.raises(HraError, match=match) as caught:
        yield
    message = str(caught.value)
    for part in parts:
        assert str(part) in message
    assert "\n" not in message
    assert message == message.strip()
