"""How a data folder is made. Imports nothing heavy, since the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from hra_cli.data.text_form import TextOptions
from hra_cli.errors import MOST_PROCESSES, HraError, check_positive


@dataclass(frozen=True)
class PrepareOptions:
    """num_jobs: processes that read audio; the result does not depend on it. cluster: where audio is read instead, as
    `cluster_executor` takes it, or None. on_the_fly: store no features, but compute them from the audio whenever they
    are needed. shar: the same, from a copy of the audio in Shar archives in the data folder. perturb_speed: training
    cuts also 0.9 and 1.1 times as fast. text_options: what is done to transcripts.

    Raises HraError for no processes, for more than a machine could have, and for on_the_fly with shar.
    """

    num_jobs: int = 2
    cluster: Optional[str] = None
    on_the_fly: bool = False
    shar: bool = False
    perturb_speed: bool = False
    text_options: TextOptions = TextOptions()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        check_positive(MOST_PROCESSES, num_jobs=self.num_jobs)
        if self.on_the_fly and self.shar:
            raise HraError("--on-the-fly has no effect with --shar, which stores no features either; leave it out")
