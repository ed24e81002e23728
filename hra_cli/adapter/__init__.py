"""Hierarchical Recurrent Adapters (arXiv 2403.19709): the equations are in controller.py and heads.py."""
