"""The frozen front end's output on disk, for features that stay the same from one epoch to the next."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

import numpy
import torch
from torch import Tensor

from hra_cli.backbone.frontend import embedded_lens
from hra_cli.backbone.model import Backbone
from hra_cli.backbone.rows import Rows
from hra_cli.errors import HraError
from hra_cli.io.files import replacing


class FrontendCache:
    """A folder with a float32 file per utterance, written when it is first asked for.

    What it gives is what `Backbone.embed` computes, bit for bit. Files appear whole or not at all. Another
    recogniser does not find them.
    """

    def __init__(self, folder: Path, backbone: Backbone):
        self.folder = folder
        self.backbone = backbone

    def embed(self, features: Tensor, feature_lens: Tensor, ids: Sequence[str]) -> tuple[Tensor, Rows]:
        """`Backbone.embed` of utterances with these ids: x and rows are on the recogniser's device.

        Raises HraError where a file cannot be written.
        """
        utterances = zip(ids, features, feature_lens.tolist())
        return self.backbone.as_rows([self._embed_one(id_, own[:length]) for id_, own, length in utterances])

    def _embed_one(self, id_: str, features: Tensor) -> Tensor:
        """The front end's output (T', C0) for one utterance's features (T, 80), on the host, where files are read."""
        key = f"{self.backbone.fingerprint}\n{self.backbone.options.precision}\n{id_}"
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        file = self.folder / name[:2] / f"{name}.f32"
        found = _read(file, (embedded_lens(len(features)), self.backbone.sizes.stacks[0].width))
        if found is not None:
            return found
        with torch.no_grad():
            embedded = self.backbone.embed_one(features).cpu()
        try:
            _write(file, embedded)
        except HraError as error:
            raise HraError(f"{error}; make room, or go on with --resume without --cache-frontend") from error
        return embedded


def _write(file: Path, embedded: Tensor) -> None:
    numbers = embedded.numpy().tobytes()
    with replacing(file) as temporary:
        temporary.write_bytes(_sum_of(numbers) + numbers)


def _read(file: Path, shape: tuple[int, int]) -> Optional[Tensor]:
    """What `file` has; None where it is not there, or is not what was written, as after a crash of the machine."""
    try:
        content = memoryview(file.read_bytes())
    except OSError:
        return None
    embedded = torch.empty(shape)
    if len(content) != _SUM + embedded.numpy().nbytes or content[:_SUM] != _sum_of(content[_SUM:]):
        return None
    embedded.numpy()[:] = numpy.frombuffer(content[_SUM:], numpy.float32).reshape(shape)
    return embedded


_SUM = 4  # bytes of the sum that a file begins with


def _sum_of(numbers: Union[bytes, memoryview]) -> bytes:
    return zlib.crc32(numbers).to_bytes(_SUM, "little")
