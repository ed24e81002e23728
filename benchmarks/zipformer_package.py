"""The encoder of the `zipformer` package (pip install --no-deps zipformer), the official stand-alone Zipformer.

As shipped, its balancers and whiteners change gradients at random even in evaluation mode; a frozen model has no use
for them, so they are switched off here, which also makes it faster.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
import types
from typing import Any, Callable

import torch
from torch import Tensor, nn

from hra_cli.backbone.frontend import embedded_lens
from hra_cli.backbone.model import Backbone
from hra_cli.nn.device import to_device
from hra_cli.nn.frames import padding_mask


def package_is_installed() -> bool:
    return importlib.util.find_spec("zipformer") is not None


def _import() -> types.SimpleNamespace:
    """The package's encoder classes. Ends the program where it is not installed."""
    if not package_is_installed():
        sys.exit("this benchmark compares with the zipformer package, which `make bench LANE=torch2` installs")
    if importlib.util.find_spec("torchaudio") is None:  # which its command line imports, and no encoder needs
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")
        sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    from zipformer.modules.subsampling import Conv2dSubsampling
    from zipformer.modules.zipformer import Zipformer

    return types.SimpleNamespace(Conv2dSubsampling=Conv2dSubsampling, Zipformer=Zipformer)


class Package:
    """The package's encoder with our weights."""

    def __init__(self, backbone: Backbone):
        package = _import()
        self.backbone = backbone
        stacks = backbone.sizes.stacks
        per_stack: dict[str, Any] = {
            theirs: tuple(getattr(stack, ours) for stack in stacks)
            for theirs, ours in (
                ("downsampling_factor", "downsampling"),
                ("encoder_dim", "width"),
                ("num_encoder_layers", "layers"),
                ("query_head_dim", "query_head_dim"),
                ("pos_head_dim", "pos_head_dim"),
                ("value_head_dim", "value_head_dim"),
                ("num_heads", "heads"),
                ("feedforward_dim", "feedforward"),
                ("cnn_module_kernel", "kernel"),
                ("encoder_unmasked_dim", "width"),
            )
        }
        self.embed: nn.Module = package.Conv2dSubsampling(80, stacks[0].width)
        self.encoder: nn.Module = package.Zipformer(pos_dim=stacks[0].pos_dim, **per_stack)
        for name, module in (("encoder_embed", self.embed), ("encoder", self.encoder)):
            module.to(backbone.device)
            own = getattr(backbone, name).state_dict()
            missing = [
                key for key, _ in module.named_parameters() if key not in own and not key.endswith("bypass_scale")
            ]
            if missing:
                raise SystemExit(f"this version of the zipformer package has parameters that we have not: {missing}")
            module.load_state_dict(own, strict=False)
            module.requires_grad_(False).eval()
            for part in module.modules():
                if type(part).__name__ in ("Balancer", "Whiten"):
                    del part.prob  # perhaps a module, which no float can replace
                    part.prob = 0.0

    def run_embed(self, features: Tensor, lens: Tensor) -> Tensor:
        return self.embed(features, lens)[0]

    def run_encoder(self, embedded: Tensor, lens: Tensor) -> Tensor:
        lens = embedded_lens(lens)
        # Lengths stay on the host, where asking for them costs nothing; only the mask is needed elsewhere.
        padded = to_device(padding_mask(lens, embedded.shape[1]), self.backbone.device)
        out, _ = self.encoder(embedded.transpose(0, 1), lens, padded)
        return out.transpose(0, 1)

    def encode(self, features: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """As `Backbone.encode` has it; the front end has a graph where its weights move."""
        out_lens = to_device((embedded_lens(lens) + 1) // 2, self.backbone.device)
        return self.run_encoder(self.run_embed(features, lens), lens), out_lens

    def fine_tune(self) -> list[nn.Parameter]:
        """Lets everything move, decoder and joiner included."""
        rest = self.backbone.decoder, self.backbone.joiner, self.backbone.simple_am_proj, self.backbone.simple_lm_proj
        return [
            parameter
            for module in (self.embed, self.encoder, *rest)
            for parameter in module.requires_grad_(True).parameters()
        ]

    def add_bottlenecks(self, size: int) -> list[nn.Parameter]:
        """icefall's adapters, four a layer: after the first attention, the first convolution, the middle, the end."""
        layers = [module for module in self.encoder.modules() if type(module).__name__ == "ZipformerEncoderLayer"]
        added = nn.ModuleList()
        for layer in layers:
            width = layer.norm.bias.numel()
            for place in (layer.self_attn1, layer.conv_module1, layer.bypass_mid, layer):
                bottleneck = nn.Sequential(nn.Linear(width, size), nn.SiLU(), nn.Linear(size, width)).to(
                    self.backbone.device
                )
                nn.init.zeros_(bottleneck[2].weight)
                place.register_forward_hook(lambda module, inputs, x, own=bottleneck: x + own(x))
                added.append(bottleneck)
        return list(added.parameters())

    def add_lora(self, rank: int) -> list[nn.Parameter]:
        """PEFT's LoRA on the projections of attention and feed-forward modules.

        What an activation feeds is no nn.Linear in this package, and stays as it is.
        """
        from peft import LoraConfig, inject_adapter_in_model

        modules = r".*\.(self_attn_weights|self_attn1|self_attn2|feed_forward\d)\.(in_proj|out_proj)"
        names = [
            name
            for name, module in self.encoder.named_modules()
            if re.fullmatch(modules, name) and type(module) is nn.Linear
        ]
        inject_adapter_in_model(LoraConfig(r=rank, target_modules=names), self.encoder)
        return [parameter for parameter in self.encoder.parameters() if parameter.requires_grad]

    def forward_pass(self, features: Tensor, lens: Tensor) -> Callable[[], Tensor]:
        @torch.no_grad()
        def work() -> Tensor:
            return self.run_encoder(self.run_embed(features, lens), lens)

        return work

    def both_passes(self, features: Tensor, lens: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
        def work() -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                embedded = self.run_embed(features, lens)
            return gradient(embedded, lambda x: self.run_encoder(x, lens))

        return work


def gradient(embedded: Tensor, encode: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The encoder's output, and the gradient of its mean square with respect to its input."""
    embedded.requires_grad_()
    out = encode(embedded)
    (grad,) = torch.autograd.grad(out, embedded, out.detach())
    return out.detach(), grad
