"""encoder_embed: filterbanks at 100 Hz to the encoder's frames at 50 Hz."""

from __future__ import annotations

from typing import Optional, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hra_cli.backbone.activations import BiasNorm, swoosh_l, swoosh_r
from hra_cli.nn.linear import Linear, linear

MIN_FEATURE_FRAMES = 9
LOOK_AHEAD = 13  # feature frames that a chunk takes beyond its own: 7 by the convolutions, 2 · 3 by ConvNeXt
REACH = 3  # frames to either side that ConvNeXt's 7×7 convolution sees
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
        return x + self._pointwise(self.depthwise_conv(x))

    def chunk(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, T + 3, F), a chunk of T frames and what follows it; past (N, C, 3, F), the frames before it.

        Returns the chunk (N, C, T, F), and its last 3 frames as the next one's past.
        """
        frames = x.shape[2] - REACH
        around = torch.cat([past, x], dim=2)
        mixed = F.conv2d(
            around, self.depthwise_conv.weight, self.depthwise_conv.bias, padding=(0, REACH), groups=around.shape[1]
        )
        return x[:, :, :frames] + self._pointwise(mixed), around[:, :, frames : frames + REACH]

    def _pointwise(self, x: Tensor) -> Tensor:
        return self.pointwise_conv2(swoosh_l(self.pointwise_conv1(x)))


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
        x = self._convolved(features)
        if padded is not None:
            x = x.masked_fill_(padded[:, None, :, None], 0.0)
        return self._projected(self.convnext(x))

    def chunk(self, features: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """A chunk of each of N streams: features (N, 2T + 13, 80) and past (N, 128, 3, 19) to (N, T, C) and the past of
        the next chunk, whose features begin 2T frames later."""
        x, following = self.convnext.chunk(self._convolved(features), past)
        return self._projected(x), following

    def _convolved(self, features: Tensor) -> Tensor:
        """(N, T, 80) as (N, 128, (T - 7) // 2, 19)."""
        x = swoosh_r(self.conv["0"](features.unsqueeze(1)))
        # With channels beside each other in memory the convolutions that follow are faster.
        x = x.contiguous(memory_format=torch.channels_last)
        return swoosh_r(self.conv["7"](swoosh_r(self.conv["4"](x))))

    def _projected(self, x: Tensor) -> Tensor:
        """(N, 128, T, 19) as (N, T, C)."""
        return self.out_norm(self.out(x.transpose(1, 2).flatten(2)))
