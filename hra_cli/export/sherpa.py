"""sherpa-onnx itself, on the files of an exported folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from hra_cli.data.audio import Samples
from hra_cli.data.features import SAMPLING_RATE
from hra_cli.errors import HraError
from hra_cli.export.graph_files import TOKENS, decoder_file, encoder_file, joiner_file
from hra_cli.export.libraries import import_library

# Seconds of zeros after a stream's audio: a chunk is decoded when all that it looks ahead to is there.
TAIL = 0.66


def graph_names(variant: str, task: Optional[str]) -> dict[str, str]:
    """The files that sherpa-onnx is given for a task, None for the frozen recogniser, as it calls them."""
    return {
        "encoder": encoder_file(variant, task),
        "decoder": decoder_file(variant),
        "joiner": joiner_file(variant),
        "tokens": TOKENS,
    }


class Sherpa:
    """One task's recogniser, of whole utterances or of streams."""

    def __init__(self, folder: Path, streaming: bool, variant: str, task: Optional[str], method: str, num_threads: int):
        """task: None for the frozen recogniser. Raises HraError where sherpa-onnx is missing or refuses a file."""
        library = import_library("sherpa_onnx")
        names = graph_names(variant, task)
        kind, more = (
            (library.OnlineRecognizer, {"model_type": "zipformer2"}) if streaming else (library.OfflineRecognizer, {})
        )
        self._streaming = streaming
        try:
            self._recogniser: Any = kind.from_transducer(
                **{name: str(folder / file) for name, file in names.items()},
                num_threads=num_threads,
                decoding_method=method,
                **more,
            )
        except (RuntimeError, ValueError) as error:
            raise HraError(
                f"sherpa-onnx cannot load {folder / names['encoder']}: {str(error).splitlines()[0]}; "
                "copy or export the folder again"
            ) from error

    def recognise(self, batch: Sequence[Samples]) -> list[list[str]]:
        """The words in every utterance of a batch, samples at 16 kHz, (samples,) float32 each."""
        streams = [self._recogniser.create_stream() for _ in batch]
        for stream, samples in zip(streams, batch):
            stream.accept_waveform(SAMPLING_RATE, samples)
        if not self._streaming:
            self._recogniser.decode_streams(streams)
            return [str(stream.result.text).split() for stream in streams]
        for stream in streams:
            stream.accept_waveform(SAMPLING_RATE, [0.0] * round(TAIL * SAMPLING_RATE))
            stream.input_finished()
        while ready := [stream for stream in streams if self._recogniser.is_ready(stream)]:
            self._recogniser.decode_streams(ready)
        return [str(self._recogniser.get_result(stream)).split() for stream in streams]
