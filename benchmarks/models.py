"""The recognisers that are measured, and heads for them."""

from __future__ import annotations

from pathlib import Path

import torch
from pairs import CPU

from hra_cli.adapter.adapter import Adapter
from hra_cli.backbone.model import Backbone, load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.backbone.sizes import BackboneSizes, StackSizes

SMALL = Path(__file__).parents[1] / "recipes" / "accents" / "backbone"
LARGE = {
    "layers": (2, 2, 3, 4, 3, 2),
    "downsampling": (1, 2, 4, 8, 4, 2),
    "width": (192, 256, 384, 512, 384, 256),
    "feedforward": (512, 768, 1024, 1536, 1024, 768),
    "heads": (4, 4, 4, 8, 4, 4),
    "kernel": (31, 31, 15, 15, 15, 31),
}
MODELS = ("3 M", "65 M")


def model(name: str, device: torch.device = CPU) -> Backbone:
    """The shipped recogniser, or one of the sizes of icefall's Zipformer of 65 M parameters with random weights."""
    if name == "3 M":
        return load_backbone(SMALL, BackboneOptions(device=str(device)))
    torch.manual_seed(0)
    stacks = [
        StackSizes(query_head_dim=32, value_head_dim=12, pos_head_dim=4, pos_dim=48, **dict(zip(LARGE, values)))
        for values in zip(*LARGE.values())
    ]
    return Backbone(
        BackboneSizes(
            stacks,
            output_downsampling=2,
            causal=False,
            decoder_dim=512,
            decoder_group_size=4,
            context_size=2,
            joiner_dim=512,
            vocab_size=500,
        )
    ).to(device)


def trained(adapter: Adapter) -> Adapter:
    """Heads that do something."""
    with torch.no_grad():
        for parameter in adapter.bank.parameters():
            parameter.normal_(0, 0.01)
    return adapter
