"""Where a recogniser is: in a folder, or in a repository on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Union

from hra_cli.errors import HraError
from hra_cli.io.hub import HubAddress, fetch, is_address

_EXPECTED = "expected pretrained.pt, model.safetensors or epoch-N.pt there or in exp/"
# Where icefall and its repositories keep a tokenizer.
_TOKENIZER = re.compile(r"(?:exp/|(?:data/)?lang_[^/]+/)?(?:bpe\.model|bbpe\.model|tokens\.txt)")


def located(where: Union[str, Path]) -> Path:
    """The recogniser's folder or checkpoint on this machine: the path itself, or for hf://OWNER/NAME[@REVISION] a
    folder in the cache of huggingface_hub, with what is needed of the repository fetched where it is not there.

    Raises HraError as `fetch` does, and for a repository without a checkpoint.
    """
    return fetch(HubAddress.parse(where), _needed) if is_address(where) else Path(where)


def recorded(where: Union[str, Path]) -> str:
    """What settings say of a recogniser, so that it is the same one from anywhere and later: an absolute path without
    links, or an address with its commit. Raises HraError as `located` does."""
    if is_address(where):
        return str(replace(HubAddress.parse(where), revision=located(where).name))
    return os.path.realpath(where)


def choose_checkpoint(files: Collection[str]) -> str:
    """The checkpoint among a recogniser's files, which are paths below its folder: pretrained.pt, model.safetensors or
    the last epoch-N.pt, in the folder itself or in exp/. Raises HraError where there is none."""
    for folder in ("", "exp/"):
        for name in ("pretrained.pt", "model.safetensors"):
            if folder + name in files:
                return folder + name
        matches = (re.fullmatch(folder + r"epoch-([0-9]+)\.pt", file) for file in files)
        epochs = {int(match.group(1)): match.group() for match in matches if match}
        if epochs:
            return epochs[max(epochs)]
    exported = sorted(file for file in files if re.fullmatch(r"(exp/)?([^/]*\.onnx|[^/]*jit[^/]*\.pt)", file))
    raise HraError(_EXPECTED + (f"; {', '.join(exported)}: for deployment, no checkpoint" if exported else ""))


def _needed(files: Sequence[str]) -> list[str]:
    """The tokenizer's files, and the checkpoint."""
    return [*sorted(filter(_TOKENIZER.fullmatch, files)), choose_checkpoint(files)]
