"""Whole utterances recognised as streams: what an online recogniser makes of them, and how long it takes."""

from __future__ import annotations

import time
from typing import Optional

from hra_cli.data.batches import Batch
from hra_cli.recognition.latency import Latency, latency_of
from hra_cli.recognition.online import OnlineRecogniser
from hra_cli.recognition.recogniser import Recogniser
from hra_cli.recognition.windows import Split, whole
from hra_cli.transducer.search_interface import Hypothesis
from hra_cli.transducer.search_options import SearchOptions


class StreamingRecogniser(Recogniser):
    """A recogniser that decodes cuts chunk by chunk, those of a batch as streams beside each other."""

    split: Split = staticmethod(whole)

    def __init__(self, recogniser: Recogniser):
        super().__init__(recogniser.backbone, recogniser.tokenizer, recogniser.adapter)
        self._chunks: list[float] = []  # seconds that each took
        self._streams = 0  # at a time, at most
        self._algorithmic = 0.0

    @property
    def latency(self) -> Optional[Latency]:
        return latency_of(self._algorithmic, self._chunks, self._streams) if self._chunks else None

    def _search(self, batch: Batch, method: str, options: SearchOptions) -> list[Hypothesis]:
        online = OnlineRecogniser(self, method, options)
        streams = [online.open(task) for task in batch.tasks]
        for stream, features, length in zip(streams, batch.features, batch.feature_lens.tolist()):
            stream.accept_features(features[:length])
            stream.finish()
        self._algorithmic, self._streams = online.algorithmic_latency, max(self._streams, len(streams))
        while any(stream.is_ready for stream in streams):
            started = time.monotonic()
            online.advance(streams)
            self._chunks.append(time.monotonic() - started)
        return [stream.hypothesis for stream in streams]
