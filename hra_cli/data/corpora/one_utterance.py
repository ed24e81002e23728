"""A recording that is one utterance, as most corpora have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut


def one_utterance(
    recording: Recording,
    text: str,
    speaker: Optional[str],
    language: Optional[str] = None,
    fields: Optional[Mapping[str, Any]] = None,
) -> Cut:
    """The cut of all of a recording, with its id. fields: what else is known of it, by name."""
    cut = recording.to_cut()
    cut.supervisions = [
        SupervisionSegment(
            id=recording.id,
            recording_id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=cut.channel,
            text=text,
            speaker=speaker,
            language=language,
            custom=dict(fields) if fields else None,
        )
    ]
    return cut
