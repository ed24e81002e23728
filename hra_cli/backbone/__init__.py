"""The frozen recogniser. Knows nothing of adapters but one optional callable per forward pass."""

from hra_cli.backbone.encoder import AfterLayer, Layer
from hra_cli.backbone.model import Backbone, load_backbone

__all__ = ["AfterLayer", "Backbone", "Layer", "load_backbone"]
