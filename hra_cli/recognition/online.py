"""Recognition while somebody speaks: streams, each with its own task's head, stepped together chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor

from hra_cli.backbone.frontend import LOOK_AHEAD
from hra_cli.backbone.stream_state import join
from hra_cli.data.feature_stream import FeatureStream
from hra_cli.data.features import FRAME_SHIFT, NUM_MEL_BINS, SILENCE
from hra_cli.errors import HraError
from hra_cli.nn.device import on_device, to_device
from hra_cli.recognition.endpoint import EndpointRules
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.names import check_streams
from hra_cli.transducer.search import new_search
from hra_cli.transducer.search_interface import Hypothesis
from hra_cli.transducer.search_options import SearchOptions

# Feature frames of silence after a stream's end, as many as icefall has: what is looked ahead, and 0.3 s in which a
# model that emits late says its last words. They are those of samples that are zero, as sherpa-onnx's users append
# them: icefall's padding is quieter than any sound, and heads answer it with words.
TAIL_FRAMES = LOOK_AHEAD + 30


class OnlineRecogniser:
    """Recognises streams of a causal recogniser, run with a chunk_size and left_context_frames, and its heads.

    method: one of STREAMING_SEARCHES. rules: when an utterance has ended.
    Raises HraError for a recogniser that cannot stream, and for a search that does not go on from where it was.
    """

    def __init__(
        self,
        model: AdaptedModel,
        method: str = "greedy_search",
        options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
        rules: EndpointRules = EndpointRules(),  # noqa: B008 - frozen
    ):
        check_streams(method)
        self.model = model
        self.rules = rules
        self.search = new_search(method, model.backbone, options)
        self.shift, self.take = model.backbone.chunk_features
        self._new = model.backbone.start(1)
        self.seconds_per_frame = FRAME_SHIFT * model.backbone.sizes.subsampling

    @property
    def algorithmic_latency(self) -> float:
        """Seconds that pass at most from a sound until the chunk that holds it can be encoded."""
        return self.take * FRAME_SHIFT

    def open(self, task: str = "") -> OnlineStream:
        """A new stream, to be recognised with the head of `task`. Raises HraError where the task has no head."""
        if self.model.adapter is not None:
            self.model.adapter.check([task])
        return OnlineStream(self, task)

    @torch.no_grad()
    def advance(self, streams: Iterable[OnlineStream]) -> int:
        """Recognises the next chunk of every stream that has one, all in one batch; says of how many.

        Each stream comes out as it would alone. Raises HraError for a stream of another recogniser.
        """
        ready = [stream for stream in dict.fromkeys(streams) if stream.is_ready]
        if any(stream._recogniser is not self for stream in ready):
            raise HraError("a stream was opened by another recogniser; only that one can advance it")
        if not ready:
            return 0
        backbone, adapter = self.model.backbone, self.model.adapter
        features = torch.stack([stream._next_chunk() for stream in ready])
        after_layer = None if adapter is None else adapter.for_tasks([stream.task for stream in ready])
        encoder_out, state = backbone.encode_chunk(
            to_device(features, backbone.device), join([stream._state for stream in ready]), after_layer
        )
        lens = on_device([encoder_out.shape[1]] * len(ready), backbone.device)
        searched = self.search.advance([stream._searched for stream in ready], encoder_out, lens)
        for stream, own_state, own_search in zip(ready, state.split(), searched):
            stream._state, stream._searched = own_state, own_search
            stream._frames += encoder_out.shape[1]
        return len(ready)

    def run(self, streams: Sequence[OnlineStream]) -> None:
        """Recognises all that the streams have heard so far."""
        while self.advance(streams):
            pass


class OnlineStream:
    """One speaker's sound, as it comes. Made by `OnlineRecogniser.open`.

    What has been recognised is of the utterance that is being spoken; after `next_utterance`, of the one after it.
    """

    def __init__(self, recogniser: OnlineRecogniser, task: str):
        self.task = task
        self._recogniser = recogniser
        self._heard = FeatureStream()
        self._features = torch.zeros(0, NUM_MEL_BINS)  # from the next chunk's begin on
        self._ended = False
        self._chunks_left = 0  # once it has ended
        self._state = recogniser._new
        (self._searched,) = recogniser.search.start(1)
        self._frames = self._begin = 0  # encoder frames so far, and before this utterance

    def accept(self, samples: Union[Sequence[float], np.ndarray[Any, Any], Tensor], sampling_rate: float) -> None:
        """Hears more samples of one channel, floats from -1 to 1, of any rate.

        Raises HraError for anything else, for another rate than before, and after `finish`.
        """
        self._check_open()
        self._add(self._heard.accept(samples, sampling_rate))

    def accept_features(self, features: Tensor) -> None:
        """Takes more features (T, 80) at 100 Hz in place of samples. Raises HraError for others, and after `finish`."""
        self._check_open()
        if features.dim() != 2 or features.shape[1] != NUM_MEL_BINS or features.dtype != torch.float32:
            shape = f"{str(features.dtype).replace('torch.', '')} of shape {tuple(features.shape)}"
            raise HraError(f"a stream takes features (T, {NUM_MEL_BINS}) in float32; these are {shape}")
        self._add(features)

    def finish(self) -> None:
        """Says that no more will come. What is recognised then is all. Raises HraError the second time."""
        self._check_open()
        self._add(self._heard.finish())
        self._ended = True
        shift, take = self._recogniser.shift, self._recogniser.take
        self._chunks_left = -(-(len(self._features) + TAIL_FRAMES) // shift)
        missing = (self._chunks_left - 1) * shift + take - len(self._features)
        self._add(torch.full((missing, NUM_MEL_BINS), SILENCE))

    @property
    def is_ready(self) -> bool:
        """Whether there is a whole chunk to recognise."""
        return self._chunks_left > 0 if self._ended else len(self._features) >= self._recogniser.take

    @property
    def is_finished(self) -> bool:
        """Whether all has been recognised."""
        return self._ended and not self.is_ready

    @property
    def hypothesis(self) -> Hypothesis:
        """What has been recognised so far, in ids and frames of this utterance."""
        self._recogniser.run([self])
        (found,) = self._recogniser.search.finish([self._searched])
        return found

    def text(self) -> str:
        """What has been said so far."""
        return self._recogniser.model.tokenizer.decode(self.hypothesis.tokens)

    @property
    def tokens(self) -> list[str]:
        """The pieces of `text`."""
        return self._recogniser.model.tokenizer.pieces(self.hypothesis.tokens)

    @property
    def times(self) -> list[float]:
        """When each token was emitted, in seconds from the stream's start."""
        seconds = self._recogniser.seconds_per_frame
        return [round((self._begin + frame) * seconds, 3) for frame in self.hypothesis.frames]

    def is_endpoint(self) -> bool:
        """Whether the utterance has ended, by the recogniser's rules."""
        frames = self.hypothesis.frames
        seconds, length = self._recogniser.seconds_per_frame, self._frames - self._begin
        silent = length - (frames[-1] + 1 if frames else 0)
        return self._recogniser.rules.hold(bool(frames), silent * seconds, length * seconds)

    def next_utterance(self) -> None:
        """Begins another utterance in the same stream: what was recognised is forgotten, what was heard is not."""
        (self._searched,) = self._recogniser.search.start(1)
        self._begin = self._frames

    def _next_chunk(self) -> Tensor:
        chunk = self._features[: self._recogniser.take]
        self._features = self._features[self._recogniser.shift :]
        self._chunks_left -= self._ended
        return chunk

    def _add(self, features: Tensor) -> None:
        self._features = torch.cat([self._features, features])

    def _check_open(self) -> None:
        if self._ended:
            raise HraError("the stream has ended; open another")
