"""encoder_embed: filterbanks at 100 Hz to the encoder's frames at 50 Hz."""

from __future__ import annotations

from typing import Optional, TypeVar

import torch
from torch import Tensor, nn

from hra_cli.backbone.activations import BiasNorm, swoosh_l, swoosh_r
from hra_cli.nn.linear import Linear, linear

MIN_FEATURE_FRAMES = 9
Frames = TypeVar("Frames", int, Tensor)


def embedded_lens(feature_lens: Frames) -> Frames:
    """Frames (50 Hz) that the front end makes of feature frames (100 Hz), of one utterance or of many, (N,)."""
    return (feature_lens - 7) // 2


class PointwiseConv2d(nn.Conv2d):
    """A 1×1 convolution, as the affine map that it is: torch has slower code for it where one thread works."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, T, F), fastest with channels beside each other in memory: (N, C', T, F), which has them so."""
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """x + pointwise(SwooshL(pointwise(depthwise 7×7(x)))), with x (N, C, T, F)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.pointwise_conv1 = PointwiseConv2d(channels, hidden)
        self.pointwise_conv2 = PointwiseConv2d(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise_conv2(swoosh_l(self.pointwise_conv1(self.depthwise_conv(x))))


class Frontend(nn.Module):
    """Three convolutions, ConvNeXt, and a projection to the first stack's width."""

    def __init__(self, width: int, feature_dim: int = 80):
        super().__init__()
        self.conv = nn.ModuleDict(
            {  # keyed by their place in the checkpoint
                "0": nn.Conv2d(1, 8, 3, padding=(0, 1)),
                "4": nn.Conv2d(8, 32, 3, stride=2),
                "7": nn.Conv2d(32, 128, 3, stride=(1, 2)),
            }
        )
        self.convnext = ConvNeXt(128, 384)
        self.out = Linear(128 * (((feature_dim - 1) // 2 - 1) // 2), width)
        self.out_norm = BiasNorm(width)

    def forward(self, features: Tensor, padded: Optional[Tensor] = None) -> Tensor:
        """features (N, T, 80): (N, T', C) with T' = (T - 7) // 2.

        padded (N, T') bool: the frames past an utterance's end. They are zeroed before the 7×7 convolution, which
        without it mixes what it finds there into the utterance's last frames.
        """
        x = swoosh_r(self.conv["0"](features.unsqueeze(1)))
        # With channels beside each other in memory the convolutions that follow are faster.
        x = x.contiguous(memory_format=torch.channels_last)
        x = swoosh_r(self.conv["7"](swoosh_r(self.conv["4"](x))))
        if padded is not None:
            x = x.masked_fill_(padded[:, None, :, None], 0.0)
        x = self.convnext(x)
        return self.out_norm(self.out(x.transpose(1, 2).flatten(2)))
