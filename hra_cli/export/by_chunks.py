"""Recorded utterances as streams, chunk by chunk, as sherpa-onnx takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor

from hra_cli.recognition.recogniser import Recogniser
from hra_cli.transducer.search import new_search
from hra_cli.transducer.search_interface import Hypothesis


@torch.no_grad()
def decode_by_chunks(
    recogniser: Recogniser, features: Sequence[Tensor], tasks: Optional[Sequence[str]], method: str
) -> list[Hypothesis]:
    """What is recognised in utterances that are streamed beside each other.

    features (T, 80) of each, with what follows its end. tasks: whose heads, None for the frozen recogniser. A chunk is
    decoded when there are more frames than it takes, which is when sherpa-onnx decodes it.
    """
    backbone = recogniser.backbone
    adapter = recogniser.adapter if tasks else None
    shift, size = backbone.chunk_features
    chunks = [max(0, -(-(len(one) - size) // shift)) for one in features]
    search = new_search(method, backbone)
    found = search.start(len(features))
    state = backbone.start(len(features))
    for number in range(max(chunks)):
        begin = number * shift
        chunk = torch.zeros(len(features), size, features[0].shape[1])
        for row, one in enumerate(features):
            own = one[begin : begin + size]
            chunk[row, : len(own)] = own
        after_layer = None if adapter is None or tasks is None else adapter.for_tasks(tasks)
        encoded, state = backbone.encode_chunk(chunk, state, after_layer)
        lens = torch.tensor([encoded.shape[1] if number < own else 0 for own in chunks])
        found = search.advance(found, encoded, lens)
    return search.finish(found)
