"""The names of the files in an exported folder. variant: what is put into the names of its graphs, "" for float32."""

from __future__ import annotations

from typing import Optional

TOKENS = "tokens.txt"
GUIDE = "README.md"


def encoder_file(variant: str, task: Optional[str] = None) -> str:
    """The encoder with the head of a task, or the frozen one."""
    return f"encoder{'' if task is None else f'-{task}'}{variant}.onnx"


def encoder_for_any_file(variant: str) -> str:
    """The encoder that is given heads with every batch."""
    return f"encoder-any{variant}.onnx"


def decoder_file(variant: str) -> str:
    """The decoder, of all tasks."""
    return f"decoder{variant}.onnx"


def joiner_file(variant: str) -> str:
    """The joiner, of all tasks."""
    return f"joiner{variant}.onnx"


def weights_file(variant: str) -> str:
    """The weights of the recogniser, which all graphs of a variant share."""
    return f"backbone{variant}.data"
