"""Hierarchical Recurrent Adapters for a frozen k2/icefall speech recogniser."""

__version__ = "0.1.0"
