"""When somebody has finished speaking: sherpa-onnx's rules."""

from __future__ import annotations

from dataclasses import dataclass

from hra_cli.errors import MOST_SECONDS, check_positive


@dataclass(frozen=True)
class EndpointRules:
    """An endpoint is where one of three rules holds; names and defaults are sherpa-onnx's. All in seconds.

    rule1_min_trailing_silence: of silence, also where nothing has been said. rule2_min_trailing_silence: of silence
    after something was said. rule3_min_utterance_length: of speech and silence.
    Raises HraError for what is not positive.
    """

    rule1_min_trailing_silence: float = 2.4
    rule2_min_trailing_silence: float = 1.2
    rule3_min_utterance_length: float = 20.0

    def __post_init__(self) -> None:
        check_positive(
            MOST_SECONDS,
            rule1_min_trailing_silence=self.rule1_min_trailing_silence,
            rule2_min_trailing_silence=self.rule2_min_trailing_silence,
            rule3_min_utterance_length=self.rule3_min_utterance_length,
        )

    def hold(self, spoken: bool, trailing_silence: float, length: float) -> bool:
        """Whether there is an endpoint. spoken: something was recognised. trailing_silence: seconds since the last of
        it, or of all where there is nothing. length: seconds since the utterance's start."""
        return (
            trailing_silence >= self.rule1_min_trailing_silence
            or (spoken and trailing_silence >= self.rule2_min_trailing_silence)
            or length >= self.rule3_min_utterance_length
        )
