"""The channels of a recording, each as a recording of its own."""

from __future__ import annotations

from lhotse import MonoCut
from lhotse.cut import Cut


def channel_cuts(cut: Cut) -> list[Cut]:
    """A cut for each channel, in their order; their ids are the cut's, with the channel's number from 1."""
    channels = [cut.channel] if isinstance(cut.channel, int) else list(cut.channel)
    return [
        MonoCut(
            id=f"{cut.id}\0channel {number}",  # no path has such a character
            start=cut.start,
            duration=cut.duration,
            channel=channel,
            recording=cut.recording,
            custom=cut.custom,
        )
        for number, channel in enumerate(channels, start=1)
    ]
