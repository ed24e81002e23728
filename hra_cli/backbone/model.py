"""The frozen recogniser as one module."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional, Union

import torch
from torch import Tensor, nn

from hra_cli.backbone.batch_pass import BatchPass
from hra_cli.backbone.checkpoint import find_checkpoint, read_checkpoint
from hra_cli.backbone.chunk_pass import ChunkPass
from hra_cli.backbone.decoder import Decoder
from hra_cli.backbone.encoder import EncoderLayer, ZipformerEncoder
from hra_cli.backbone.forward_pass import AfterLayer
from hra_cli.backbone.frontend import LOOK_AHEAD, MIN_FEATURE_FRAMES, Frontend, embedded_lens
from hra_cli.backbone.joiner import Joiner
from hra_cli.backbone.location import located
from hra_cli.backbone.options import BackboneOptions, Chunking
from hra_cli.backbone.rows import Rows, one_block, rows_of
from hra_cli.backbone.sizes import BackboneSizes, read_sizes
from hra_cli.backbone.stream_state import StreamState, new_streams
from hra_cli.errors import HraError
from hra_cli.io.tensors import check_parameters, fingerprint
from hra_cli.nn.device import find_device, to_device, without_cudnn
from hra_cli.nn.linear import Linear


class Backbone(nn.Module):
    """An icefall Zipformer pruned transducer: frozen, always in evaluation mode.

    options: how it is run; device and pos_head_dim there are for `load_backbone`. in_blocks: the encoder works on
    utterances of similar length together; without it modules see all of a batch, in its order and padded.
    Neither changes later; `copy` makes a recogniser with others. Raises HraError for options that do not fit.
    """

    def __init__(
        self,
        sizes: BackboneSizes,
        options: BackboneOptions = BackboneOptions(),  # noqa: B008 - frozen
        in_blocks: bool = True,
    ):
        super().__init__()
        _check_chunks(sizes, options)
        self.sizes = sizes
        self.options = options
        self.in_blocks = in_blocks
        self.encoder_embed = Frontend(sizes.stacks[0].width)
        self.encoder = ZipformerEncoder(sizes.stacks, sizes.output_downsampling, sizes.causal)
        self.decoder = Decoder(sizes.vocab_size, sizes.decoder_dim, sizes.context_size, sizes.decoder_group_size)
        self.joiner = Joiner(sizes.width, sizes.decoder_dim, sizes.joiner_dim, sizes.vocab_size)
        self.simple_am_proj = Linear(sizes.width, sizes.vocab_size)
        self.simple_lm_proj = Linear(sizes.decoder_dim, sizes.vocab_size)
        self.fingerprint = ""
        self.requires_grad_(False)
        self.eval()

    @property
    def width(self) -> int:
        """Channels of encoder_out, and of an adapter: those of the widest stack."""
        return self.sizes.width

    def layer_widths(self) -> dict[str, int]:
        """Channels of every encoder layer by its name, as `after_layer` is told it, in the order of the layers."""
        layers = (module for module in self.encoder.modules() if isinstance(module, EncoderLayer))
        return {layer.name: layer.width for layer in layers}

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where `encode` computes."""
        return self.encoder.downsample_output.bias.device

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: there is nothing here to train."""
        return super().train(False)

    def copy(self, in_blocks: Optional[bool] = None, **changes: Any) -> Backbone:
        """A recogniser with its own copy of the weights that is run in another way.

        in_blocks: None for as this one. changes: fields of BackboneOptions, but device: the copy is where
        this one is. Raises HraError for options that do not fit the recogniser or its device.
        """
        options = replace(self.options, **changes)
        _check_precision(options.precision, self.device)
        _check_chunks(self.sizes, options)
        made = copy.deepcopy(self)
        made.options = options
        made.in_blocks = self.in_blocks if in_blocks is None else in_blocks
        return made

    def num_frames(self, feature_frames: int) -> int:
        """Encoder frames (25 Hz) of an utterance with so many feature frames (100 Hz); none where it is too short."""
        if feature_frames < MIN_FEATURE_FRAMES:
            return 0
        factor = self.sizes.output_downsampling
        return (embedded_lens(feature_frames) + factor - 1) // factor

    def encode(
        self,
        features: Tensor,
        feature_lens: Tensor,
        after_layer: Optional[AfterLayer] = None,
        icefall_padding: bool = False,
        chunking: Optional[Chunking] = None,
    ) -> tuple[Tensor, Tensor]:
        """Filterbanks to encoder frames.

        features: (N, T, 80) log-mel at 100 Hz, on the recogniser's device. feature_lens: (N,) int64, frames of each;
        on the host, since a GPU would be waited for.
        after_layer: called as `x = after_layer(x, layer)` with x (T', N, C) after every encoder layer.
        icefall_padding: let an utterance's last frames see its padding, as icefall's batches do; for checking.
        chunking: of this batch, in place of that of `options`.
        Returns encoder_out (N, T'', width) at 25 Hz, as long as the longest utterance, and encoder_out_lens (N,), both
        on the recogniser's device.
        Every utterance comes out as it would alone, whatever else is in the batch; frames past an utterance's end
        mean nothing.
        Raises HraError where an utterance is shorter than 9 frames, and for a chunking that does not fit.
        """
        x, rows = self.embed(features, feature_lens, icefall_padding)
        return self.encode_rows(x, rows, after_layer, icefall_padding, chunking)

    def embed(self, features: Tensor, feature_lens: Tensor, icefall_padding: bool = False) -> tuple[Tensor, Rows]:
        """The front end's output for a batch: x (F, C0), and which of its rows are whose. Arguments and errors as in
        `encode`."""
        lengths: list[int] = feature_lens.tolist()
        if min(lengths) < MIN_FEATURE_FRAMES:
            raise HraError(f"an utterance has {min(lengths)} feature frames; the encoder needs {MIN_FEATURE_FRAMES}")
        if self.in_blocks and not icefall_padding:
            return self.as_rows([self.embed_one(own[:length]) for own, length in zip(features, lengths)])
        lengths = [embedded_lens(length) for length in lengths]
        frames = embedded_lens(features.shape[1]) if icefall_padding else max(lengths)
        rows = one_block(lengths, frames, self.device)
        padded = None if icefall_padding else rows.blocks[0].padded
        # A frame here is made of nine feature frames, and begins two feature frames after the one before.
        with self._computing():
            x = self.encoder_embed(features[:, : 2 * frames + 8], padded)
        return rows.join([x]), rows

    def embed_one(self, features: Tensor) -> Tensor:
        """The front end's output (T', C0) for one utterance's features (T, 80), at least 9 frames.

        Utterance by utterance it is as fast as in batches, and does not round by what else is in the batch.
        """
        with self._computing():
            return self.encoder_embed(features.unsqueeze(0))[0]

    def as_rows(self, embedded: list[Tensor]) -> tuple[Tensor, Rows]:
        """The front end's output of every utterance (T', C0), as the encoder takes it, on the recogniser's device."""
        rows = rows_of([len(x) for x in embedded], self.device)
        blocks = [_padded([embedded[n] for n in block.utterances], block.frames) for block in rows.blocks]
        return to_device(rows.join(blocks), self.device), rows

    def encode_rows(
        self,
        x: Tensor,
        rows: Rows,
        after_layer: Optional[AfterLayer] = None,
        icefall_padding: bool = False,
        chunking: Optional[Chunking] = None,
    ) -> tuple[Tensor, Tensor]:
        """What `encode` does with what `embed` returns."""
        options = self.options if chunking is None else self.options_with(chunking)
        with self._computing():
            x = self.encoder(x, BatchPass(rows, options, after_layer, icefall_padding))
        rows = rows.at_rate(self.sizes.output_downsampling)
        return rows.to_batch(x).transpose(0, 1), rows.lens

    def options_with(self, chunking: Chunking) -> BackboneOptions:
        """This recogniser's options with another chunking. Raises HraError for one that does not fit it."""
        options = replace(self.options, **chunking._asdict())
        _check_chunks(self.sizes, options)
        return options

    def start(self, streams: int) -> StreamState:
        """The state of so many streams before their first chunk.

        Raises HraError where the recogniser cannot stream: it is not causal, or no chunk_size and left_context_frames
        are set for it, or they are not whole chunks.
        """
        self.options.check_streaming()
        return new_streams(self.sizes, self.options, streams, self.device)

    @property
    def chunk_features(self) -> tuple[int, int]:
        """Feature frames (100 Hz) from one chunk's begin to the next one's, and those that a chunk takes."""
        self.options.check_streaming()
        assert self.options.chunk_size is not None
        shift = 2 * self.options.chunk_size
        return shift, shift + LOOK_AHEAD

    def encode_chunk(
        self, features: Tensor, state: StreamState, after_layer: Optional[AfterLayer] = None
    ) -> tuple[Tensor, StreamState]:
        """The next chunk of each of N streams, which may have begun at different times.

        features (N, 2 · chunk_size + 13, 80): log-mel at 100 Hz on the recogniser's device, each chunk 2 · chunk_size
        frames after the one before; 13 are looked ahead. state: what `start` or the call before returned. after_layer:
        as in `encode`, called with x (T, N, C), all of whose frames count.
        Returns encoder_out (N, chunk_size / 2, width) at 25 Hz (for an output downsampling of 2), and the new state.
        What streams give is what `encode` gives for whole utterances, wherever both see the same frames.
        """
        with self._computing():
            x, embed_states = self.encoder_embed.chunk(features, state.embed_states)
            run = ChunkPass(self.options, iter(state.layers), state.processed_lens, after_layer)
            x = self.encoder(x.transpose(0, 1), run)
        processed_lens = state.processed_lens + run.frames
        return x.transpose(0, 1), StreamState(run.following, embed_states, processed_lens)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Sets what the front end and the layers multiply in, and who convolves. Adapters, between layers, compute in
        float32."""
        in_float32 = self.options.precision == "float32"
        autocast = (
            nullcontext() if in_float32 else torch.autocast(self.device.type, getattr(torch, self.options.precision))
        )
        with without_cudnn(self.device), autocast:
            yield


def _padded(utterances: list[Tensor], frames: int) -> Tensor:
    """Utterances (T, C) as (n, frames, C), each padded with its last frame, since zeros have no norm to divide by."""
    return torch.stack([torch.cat([x, x[-1:].expand(frames - len(x), -1)]) for x in utterances])


def _check_chunks(sizes: BackboneSizes, options: BackboneOptions) -> None:
    chunk_size = options.chunk_size
    if chunk_size is None:
        return
    if not sizes.causal:
        raise HraError("--chunk-size is for causal (streaming-trained) models; this one sees the whole utterance")
    largest = max(stack.downsampling for stack in sizes.stacks)
    if chunk_size % largest:
        raise HraError(f"--chunk-size {chunk_size} must be a multiple of {largest}, the largest downsampling")


def _check_precision(precision: str, device: torch.device) -> None:
    """Raises HraError where the device cannot multiply in this precision."""
    if precision == "float16" and device.type != "cuda":
        raise HraError("float16 needs a CUDA device; on the CPU use bfloat16 or float32")
    if precision == "bfloat16" and device.type == "cuda":
        with torch.cuda.device(device):
            if not torch.cuda.is_bf16_supported():
                raise HraError(f"{torch.cuda.get_device_name(device)} has no bfloat16; use float16 or float32")


def load_backbone(
    path: Union[str, Path],
    options: BackboneOptions = BackboneOptions(),  # noqa: B008 - frozen
    note: Callable[[str], None] = lambda message: None,
) -> Backbone:
    """The recogniser at `path`, see `located`, frozen, float32; all sizes are read from its tensors.

    `note` is told of tensors that are not used. Raises HraError for anything that is not an icefall Zipformer
    transducer, for options that do not fit it, and for a device that is not there or cannot be used so.
    """
    device = find_device(options.device)
    _check_precision(options.precision, device)
    file = find_checkpoint(located(path))
    tensors = read_checkpoint(file, note)
    with torch.random.fork_rng(devices=[]):  # the modules' own initialisation must not move the user's generator
        try:
            backbone = Backbone(read_sizes(tensors, options.pos_head_dim), options)
        except HraError as error:
            raise HraError(f"{file}: {error}") from error
    _load(backbone, tensors, file)
    backbone.fingerprint = fingerprint(tensors)
    return backbone.to(device)


def _load(backbone: Backbone, tensors: dict[str, Tensor], file: Path) -> None:
    own = backbone.state_dict()
    for name, tensor in tensors.items():
        if name in own and not tensor.is_floating_point():
            dtype = str(tensor.dtype).replace("torch.", "")
            raise HraError(f"{file} is not an icefall Zipformer transducer: {name} is of type {dtype}")
    try:
        missing = backbone.load_state_dict(tensors, strict=False).missing_keys
    except RuntimeError as error:  # a shape that contradicts the sizes read from the others
        raise HraError(
            f"{file} is not an icefall Zipformer transducer: {str(error).splitlines()[-1].strip()}"
        ) from error
    if missing:
        raise HraError(f"{file} is not an icefall Zipformer transducer: the tensor {missing[0]} is missing")
    check_parameters(own, str(file), "copy or export it again")
