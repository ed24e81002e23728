"""The Free Spoken Digit Dataset: ten digits, one task per speaker."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lhotse import CutSet, SupervisionSegment

from hra_cli.data.audio import open_recording
from hra_cli.data.corpus import Corpus
from hra_cli.data.skipped import Skipped
from hra_cli.errors import HraError

DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_FILE_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[^_]+)_(?P<index>[0-9]+)\.wav")


def fsdd_corpus(corpus_dir: Path) -> Corpus:
    """FSDD in the folder of a clone, see `fsdd_cuts`, whose errors are raised when the cuts are made."""
    arguments = {"corpus": "fsdd", "corpus-dir": os.path.abspath(corpus_dir)}
    return Corpus(Path(corpus_dir), arguments, lambda: fsdd_cuts(corpus_dir), split_by="split")


def fsdd_cuts(corpus_dir: Path) -> tuple[CutSet, list[Skipped]]:
    """The cuts of FSDD, sorted by id, and the files that cannot be used.

    Recordings are looked for in `corpus_dir/recordings`, else in `corpus_dir`. The text is the digit's word
    in capitals; `cut.custom` holds the speaker as "task" and as "split" the official test set (index 0-4),
    dev (5-9; the corpus has none of its own) or train. Raises `HraError` where there are no recordings.
    """
    corpus_dir = Path(corpus_dir)
    folder = corpus_dir / "recordings"
    if not folder.is_dir():
        folder = corpus_dir
    if not folder.is_dir():
        raise HraError(f"no such folder: {corpus_dir}; give the folder of a clone of free-spoken-digit-dataset")

    cuts, skipped = [], []
    for path in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            skipped.append(Skipped(path.name, "not an FSDD file name", str(path)))
            continue
        try:
            recording = open_recording(path)
        except HraError as error:
            skipped.append(Skipped(path.stem, "unreadable recording", str(error)))
            continue
        cut = recording.to_cut()
        cut.supervisions = [
            SupervisionSegment(
                id=recording.id,
                recording_id=recording.id,
                start=0.0,
                duration=recording.duration,
                channel=cut.channel,
                text=DIGITS[int(match["digit"])],
                speaker=match["speaker"],
                language="English",
            )
        ]
        cut.custom = {"task": match["speaker"], "split": _split(int(match["index"]))}
        cuts.append(cut)
    if not cuts and not any(one.reason == "unreadable recording" for one in skipped):
        raise HraError(f"no FSDD recordings (such as 0_jackson_0.wav) in {folder}")
    return CutSet.from_cuts(cuts), skipped


def _split(index: int) -> str:
    if index < 5:
        return "test"
    return "dev" if index < 10 else "train"
