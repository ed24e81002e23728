"""The blank token."""

from __future__ import annotations

BLANK = 0  # the id of the token that passes a frame, in every icefall transducer
