"""The frozen recogniser. Knows nothing of adapters but one optional callable per forward pass."""
