"""Whether a graph computes what the recogniser computes: both are run on the same features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor

from hra_cli.adapter.adapter import Adapter
from hra_cli.adapter.task_adapter import AfterLayer
from hra_cli.backbone.model import Backbone
from hra_cli.data.features import NUM_MEL_BINS
from hra_cli.errors import HraError
from hra_cli.export.libraries import import_library

LARGEST_DIFFERENCE = 1e-4  # of any output, which are of the size of 1 to 100; rounding gives 1e-5
# Feature frames of the utterances of a batch. The shortest that there are, groups of frames that are not whole, and one
# that is much longer than its neighbour.
_BATCHES: list[list[int]] = [[9], [131, 57, 90], [250, 11]]
_STREAMS = [1, 3]
_CHUNKS = 3
_SIZE_FROM = 1.0  # differences are in parts of the largest number where that is larger


class Graph:
    """An ONNX file as onnxruntime runs it, with one thread."""

    def __init__(self, file: Path):
        onnxruntime = import_library("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.file = file
        self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]

    @property
    def takes_heads(self) -> bool:
        """Whether the parameters of heads are inputs."""
        return any(name.startswith("head.") for name in self._inputs)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The outputs for these inputs, both in the graph's order."""
        given = {name: tensor.numpy() for name, tensor in zip(self._inputs, inputs)}
        return [torch.from_numpy(output) for output in self._session.run(None, given)]


@torch.no_grad()
def check_encoder(
    graph: Graph, exact: bool, backbone: Backbone, adapter: Optional[Adapter] = None, tasks: Sequence[str] = ()
) -> None:
    """Raises HraError where an encoder differs from the recogniser's, on batches of several sizes and lengths.

    exact: False for a graph in few bits, which must only give finite numbers. tasks: whose heads are in the graph,
    or are given to it, for each utterance one of them in turn; none for the frozen model.
    """
    if backbone.options.chunk_size is not None:
        _check_chunks(graph, exact, backbone, adapter, tasks)
    else:
        _check_whole(graph, exact, backbone, adapter, tasks)


def _check_whole(
    graph: Graph, exact: bool, backbone: Backbone, adapter: Optional[Adapter], tasks: Sequence[str]
) -> None:
    for lengths in _BATCHES:
        features, lens = _features(lengths), torch.tensor(lengths)
        heads = _Heads(graph, adapter, tasks, len(lengths))
        expected, expected_lens = backbone.encode(features, lens, heads.after_layer())
        expected = backbone.joiner.encoder_proj(expected)
        found, found_lens = graph(features, lens, *heads.inputs)
        what = f"utterances of {lengths} frames"
        if found_lens.tolist() != expected_lens.tolist():
            raise HraError(f"{graph.file.name} gives other lengths than the recogniser for {what}; {_OURS}")
        for row, length in enumerate(expected_lens.tolist()):
            _compare(graph, exact, found[row, :length], expected[row, :length], what)


def _check_chunks(
    graph: Graph, exact: bool, backbone: Backbone, adapter: Optional[Adapter], tasks: Sequence[str]
) -> None:
    _, frames = backbone.chunk_features
    for streams in _STREAMS:
        heads = _Heads(graph, adapter, tasks, streams)
        state = backbone.start(streams)
        following = list(state.tensors())
        for _ in range(_CHUNKS):
            features = _features([frames] * streams)
            expected, state = backbone.encode_chunk(features, state, heads.after_layer())
            expected = backbone.joiner.encoder_proj(expected)
            found, *following = graph(features, *following, *heads.inputs)
            for one, other in zip([found, *following], [expected, *state.tensors()]):
                _compare(graph, exact, one, other, f"{streams} streams")


class _Heads:
    """The heads of a batch of so many utterances. inputs: what the graph is given of them, if it takes any."""

    def __init__(self, graph: Graph, adapter: Optional[Adapter], tasks: Sequence[str], utterances: int):
        self._adapter = adapter
        self._tasks = [tasks[n % len(tasks)] for n in range(utterances)] if tasks else []
        self.inputs: list[Tensor] = []
        if adapter is not None and graph.takes_heads:
            heads = [list(adapter.bank.tensors(row).values()) for row in adapter.rows(self._tasks)]
            self.inputs = [*(torch.stack(same) for same in zip(*heads)), *adapter.controller.tensors().values()]

    def after_layer(self) -> Optional[AfterLayer]:
        """A new one for every forward pass."""
        return None if self._adapter is None else self._adapter.for_tasks(self._tasks)


@torch.no_grad()
def check_decoder(graph: Graph, exact: bool, backbone: Backbone) -> None:
    """Raises HraError where a decoder differs from the recogniser's, on tokens that are none, too."""
    vocab, context = backbone.sizes.vocab_size, backbone.sizes.context_size
    for size in (1, 5):
        y = torch.arange(size * context).reshape(size, context) * 7 % (vocab + 1) - 1
        expected = backbone.joiner.decoder_proj(backbone.decoder(y, need_pad=False)[:, 0])
        _compare(graph, exact, graph(y)[0], expected, f"{size} contexts")


@torch.no_grad()
def check_joiner(graph: Graph, exact: bool, backbone: Backbone) -> None:
    """Raises HraError where a joiner differs from the recogniser's."""
    for size in (1, 5):
        one, other = torch.randn(2, size, backbone.sizes.joiner_dim, generator=torch.Generator().manual_seed(size))
        expected = backbone.joiner(one, other, project_input=False)
        _compare(graph, exact, graph(one, other)[0], expected, f"{size} frames")


_OURS = "this is a fault of hra, and nothing is written"


def _compare(graph: Graph, exact: bool, found: Tensor, expected: Tensor, what: str) -> None:
    found, expected = found.double(), expected.double()
    if found.shape != expected.shape or not bool(found.isfinite().all()):
        raise HraError(f"{graph.file.name} gives no finite numbers, or not as many as it should, for {what}; {_OURS}")
    if not exact or expected.numel() == 0:
        return
    difference = float((found - expected).abs().max() / max(_SIZE_FROM, float(expected.abs().max())))
    if difference > LARGEST_DIFFERENCE:
        raise HraError(f"{graph.file.name} differs from the recogniser by {difference:.1e} for {what}; {_OURS}")


def _features(lengths: Sequence[int]) -> Tensor:
    """Random features of utterances with these lengths, padded: (N, T, 80), of the size of log-mel energies."""
    generator = torch.Generator().manual_seed(len(lengths))
    size = (len(lengths), -(-max(lengths) // 6), NUM_MEL_BINS)
    sounds = torch.randn(size, generator=generator).repeat_interleave(6, dim=1)[:, : max(lengths)]
    return 4.0 * sounds + torch.randn(sounds.shape, generator=generator) - 6.0
