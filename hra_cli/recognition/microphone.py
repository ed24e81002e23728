"""What a microphone hears, as it is spoken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hra_cli.data.features import SAMPLING_RATE
from hra_cli.errors import HraError
from hra_cli.recognition.online import OnlineStream

_BLOCK = SAMPLING_RATE // 10  # samples at a time


@dataclass(frozen=True)
class Heard:
    """The text of an utterance so far; ended: it will not change any more."""

    text: str
    ended: bool


def microphone() -> Iterator[np.ndarray[Any, Any]]:
    """Samples (n,) at 16 kHz from the default microphone, until nobody asks for more.

    Raises HraError without the package sounddevice; when it is asked for samples, also without a microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: without PortAudio
        raise HraError(
            "--microphone needs the package sounddevice and PortAudio: pip install -e '.[microphone]'"
        ) from error
    return _blocks(sounddevice)


def _blocks(sounddevice: Any) -> Iterator[np.ndarray[Any, Any]]:
    try:
        with sounddevice.InputStream(samplerate=SAMPLING_RATE, channels=1, dtype="float32") as device:
            while True:
                samples, _ = device.read(_BLOCK)
                yield samples[:, 0]
    except sounddevice.PortAudioError as error:
        raise HraError(f"cannot hear a microphone: {error}; is one connected, and allowed?") from error


def listen(blocks: Iterable[np.ndarray[Any, Any]], stream: OnlineStream, sampling_rate: int) -> Iterator[Heard]:
    """Recognises blocks of samples as they come: what is being said, whenever it changes, and each utterance when it
    has ended. The last ends with the blocks."""
    shown = ""
    for samples in blocks:
        stream.accept(samples, sampling_rate)
        if not stream.is_ready:
            continue
        text, ended = stream.text(), stream.is_endpoint()
        if ended:
            stream.next_utterance()
        if text and (ended or text != shown):
            yield Heard(text, ended)
        shown = "" if ended else text
    stream.finish()
    if stream.text():
        yield Heard(stream.text(), True)
