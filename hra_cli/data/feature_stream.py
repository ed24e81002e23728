"""Features of sound that is still being heard: the same as of the whole recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import torch
from lhotse.augmentation.torchaudio import Resample
from lhotse.utils import compute_num_samples
from torch import Tensor

from hra_cli.data.audio import HIGHEST_RATE, LOUDEST, LOWEST_RATE
from hra_cli.data.features import NUM_MEL_BINS, SAMPLING_RATE, fbank
from hra_cli.data.resampling import check_resampling
from hra_cli.errors import HraError

_WINDOW, _SHIFT = 400, 160  # samples at 16 kHz
_WANTED = "a stream takes the samples of one channel, floats from -1 to 1"
_FEWEST = 140  # samples at 16 kHz of which lhotse can make a frame
_REACH = 32  # samples of the lower rate that a resampled one looks at to either side, at most; lhotse's filters have 10


class FeatureStream:
    """Samples in, as they come; frames (T, 80) at 100 Hz out, as soon as all their samples are there."""

    def __init__(self) -> None:
        self._extractor = fbank().extractor
        self._resampler: Optional[Resampler] = None
        self._unused = torch.zeros(0)  # samples at 16 kHz that no frame has used up
        self._rest: Optional[Tensor] = None  # as lhotse wants them back, once there have been frames
        self._last = torch.zeros(0)  # the last samples, of which the end has a mirror
        self._samples = self._frames = 0  # so far, at 16 kHz

    def accept(self, samples: Union[Sequence[float], np.ndarray[Any, Any], Tensor], sampling_rate: float) -> Tensor:
        """The frames that these samples complete, (T, 80). samples: one channel, from -1 to 1, after those before.
        sampling_rate: a whole number of Hz.

        Raises HraError for anything else, and for another rate than before.
        """
        heard = _checked(samples)
        if self._resampler is None:
            self._resampler = Resampler(sampling_rate)
        if sampling_rate != self._resampler.source:
            raise HraError(f"the stream began with {self._resampler.source} Hz and goes on with {sampling_rate} Hz")
        return self._add(self._resampler.accept(heard))

    def finish(self) -> Tensor:
        """The last frames, (T, 80); nothing can be accepted after it."""
        found = [] if self._resampler is None else [self._add(self._resampler.finish())]
        missing = (self._samples + _SHIFT // 2) // _SHIFT - self._frames
        if len(self._last) < _FEWEST:
            return _together([])
        if missing > 0 and self._rest is None:  # no longer than two frames
            return _together(list(self._extractor(self._unused.unsqueeze(0))))
        if missing > 0 and self._rest is not None:
            # As lhotse does for a whole recording: the last windows see the last samples in a mirror.
            short = max(0, (missing - 1) * _SHIFT + _WINDOW - self._rest.shape[1] - len(self._unused))
            ending = torch.cat([self._unused, self._last[len(self._last) - short :].flip(0)])
            frames, _ = self._extractor.online_inference(ending.unsqueeze(0), context=self._rest)
            found.append(frames[0][:missing])
        return _together(found)

    def _add(self, samples: Tensor) -> Tensor:
        """samples at 16 kHz."""
        self._samples += len(samples)
        self._last = torch.cat([self._last, samples])[-_WINDOW:]
        self._unused = torch.cat([self._unused, samples])
        if len(self._unused) + (0 if self._rest is None else self._rest.shape[1]) < _WINDOW:
            return _together([])
        frames, self._rest = self._extractor.online_inference(self._unused.unsqueeze(0), context=self._rest)
        self._unused = torch.zeros(0)
        self._frames += frames.shape[1]
        return _together(list(frames))


class Resampler:
    """Samples of one rate in, as they come; samples at 16 kHz out, as lhotse makes them of the whole recording."""

    def __init__(self, rate: float):
        # Some libraries of sound give a whole number as a float.
        if not isinstance(rate, (int, float, np.number)) or not LOWEST_RATE <= rate <= HIGHEST_RATE or rate % 1:
            raise HraError(f"no sound has a sampling rate of {rate} Hz")
        source = int(rate)
        check_resampling(source, SAMPLING_RATE)
        self.source = source
        # With torchaudio or without, as lhotse resamples recordings: the two ways have different filters.
        self._filter = Resample(source, SAMPLING_RATE) if source != SAMPLING_RATE else None
        shared = math.gcd(source, SAMPLING_RATE)
        # So many samples become so many, and the filter begins anew.
        self._block, self._made = source // shared, SAMPLING_RATE // shared
        reach = _REACH * max(1, math.ceil(source / SAMPLING_RATE))
        self._margin = -(-reach // self._block)  # blocks
        self._kept = torch.zeros(0)  # `_before` blocks that are done, and what came after them
        self._before = 0
        self._heard = self._given = 0  # samples in and out

    def accept(self, samples: Tensor) -> Tensor:
        if self._filter is None:
            return samples
        self._heard += len(samples)
        self._kept = torch.cat([self._kept, samples])
        ready = len(self._kept) // self._block - self._before - self._margin  # blocks
        if ready <= 0:
            return torch.zeros(0)
        made = self._resampled()[self._before * self._made : (self._before + ready) * self._made]
        done = self._before + ready
        drop = max(0, done - self._margin)
        self._kept, self._before = self._kept[drop * self._block :], done - drop
        self._given += len(made)
        return made

    def finish(self) -> Tensor:
        if self._filter is None or not len(self._kept):
            return torch.zeros(0)
        # The filter rounds up, and lhotse makes recordings as long as their duration says.
        length = compute_num_samples(self._heard / self.source, SAMPLING_RATE)
        return self._resampled()[self._before * self._made :][: length - self._given]

    def _resampled(self) -> Tensor:
        assert self._filter is not None
        return torch.as_tensor(self._filter(self._kept.numpy()))


def _checked(samples: Union[Sequence[float], np.ndarray[Any, Any], Tensor]) -> Tensor:
    if isinstance(samples, Tensor):
        heard = samples.detach()
    else:
        try:
            given = np.asarray(samples)
            # A copy, since torch takes no array that runs backwards or has its bytes in another order.
            heard = torch.from_numpy(np.array(given, given.dtype.newbyteorder("="), order="C"))
        except (TypeError, ValueError) as error:
            raise HraError(f"{_WANTED}; these are no array of numbers") from error
    if heard.dim() != 1 or not (heard.is_floating_point() or not len(heard)):
        shape = f"{str(heard.dtype).replace('torch.', '')} of shape {tuple(heard.shape)}"
        raise HraError(f"{_WANTED}; these are {shape}")
    heard = heard.float().cpu()
    if len(heard) and not heard.abs().max() < LOUDEST:
        raise HraError("the samples are not all finite numbers, or far beyond any sound")
    return heard


def _together(frames: list[Tensor]) -> Tensor:
    return torch.cat([torch.zeros(0, NUM_MEL_BINS), *frames])
