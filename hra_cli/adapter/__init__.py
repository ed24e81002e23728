"""Hierarchical Recurrent Adapters (arXiv 2403.19709): the equations are in controller.py and heads.py."""

from hra_cli.adapter.adapter import Adapter, new_adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.heads import FfnHeads, HeadBank, LinearHeads

__all__ = ["Adapter", "Controller", "FfnHeads", "HeadBank", "LinearHeads", "new_adapter"]
