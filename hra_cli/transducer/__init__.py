"""Losses and searches over encoder frames."""
