"""A TorchScript module that creates a file when it is loaded. Its annotations are read at run time."""

from typing import Tuple  # noqa: UP035 - TorchScript of torch 1.13 knows no tuple[]

import torch


class Hostile(torch.nn.Module):
    """Its state is the name of the file."""

    def __init__(self, file: str):
        super().__init__()
        self.file = file

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:  # noqa: UP006
        return self.file, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:  # noqa: UP006
        assert torch.from_file(state[0], True, 4).numel() == 4
        self.file = state[0]
        self.training = state[1]

    def forward(self, x: int) -> int:
        return x
