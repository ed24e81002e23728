"""An utterance as a list of a user's names it, and the cut that it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.utils import add_durations, fastcopy

from hra_cli.data.assignment import TOLERANCE
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError
from hra_cli.scoring.results import check_names


@dataclass(frozen=True)
class Utterance:
    """start, end: seconds; None is the end of the recording. channel: from 0; None is all of them. fields: what else is
    known of it. split: train, dev or test where the source says so."""

    id: str
    text: Any
    start: float = 0.0
    end: Optional[float] = None
    channel: Optional[int] = None
    speaker: Optional[str] = None
    gender: Optional[str] = None
    language: Optional[str] = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    split: Optional[str] = None


def cut_of(utterance: Utterance, recording: Recording) -> Union[Cut, Skipped]:
    """The utterance's part of the recording, with one supervision; or why there is none."""
    try:
        check_names([utterance.id])
    except HraError as error:
        return Skipped(utterance.id, "id with control characters", str(error))
    start, end = utterance.start, utterance.end
    if not (math.isfinite(start) and start >= 0 and (end is None or (math.isfinite(end) and end > start))):
        return Skipped(utterance.id, "times that cannot be", f"from {start} to {end} s")
    last = recording.duration if end is None else end
    if start >= recording.duration or last > recording.duration + TOLERANCE:
        times = f"from {start} to {last} s of {recording.duration:.3f} s"
        return Skipped(utterance.id, "times outside the recording", times)
    cut = fastcopy(recording.to_cut(), id=utterance.id)
    if start > 0 or last < recording.duration:
        # As lhotse counts samples.
        duration = add_durations(min(last, recording.duration), -start, sampling_rate=recording.sampling_rate)
        if duration <= 0:
            return Skipped(utterance.id, "times that cannot be", f"from {start} to {last} s")
        cut = fastcopy(cut, start=start, duration=duration)
    if utterance.channel is not None:
        if utterance.channel not in recording.channel_ids:
            channels = f"{utterance.channel} of {recording.num_channels}, counted from 0"
            return Skipped(utterance.id, "channel that the recording lacks", channels)
        if recording.num_channels > 1:
            cut = MonoCut(cut.id, cut.start, cut.duration, utterance.channel, recording=recording)
    # The source's own split is no field that could say another.
    fields = {name: value for name, value in utterance.fields.items() if name != "split" or utterance.split is None}
    cut.supervisions = [
        SupervisionSegment(
            id=utterance.id,
            recording_id=recording.id,
            start=0.0,
            duration=cut.duration,
            channel=cut.channel,
            text=utterance.text,
            speaker=utterance.speaker,
            gender=utterance.gender,
            language=utterance.language,
            custom=fields or None,
        )
    ]
    if utterance.split is not None:
        cut.custom = {"split": utterance.split}
    return cut
