"""What the columns of a table are called. Imports nothing heavy, since the command line lists the presets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Optional

from hra_cli.errors import HraError, did_you_mean


@dataclass(frozen=True)
class Columns:
    """The names of the columns that have a meaning of their own; None for those that a table does not have.

    audio: file names. text. speaker, gender, language. id: of the utterance. start, end: seconds in the file.
    """

    audio: Optional[str] = None
    text: Optional[str] = None
    speaker: Optional[str] = None
    gender: Optional[str] = None
    language: Optional[str] = None
    id: Optional[str] = None
    start: Optional[str] = None
    end: Optional[str] = None

    def named(self) -> dict[str, str]:
        """The columns that are there, by what they mean."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}

    def resolved(self, preset: str, there: Collection[str], table: str) -> Columns:
        """These, and where they say nothing those of the preset that are there, for a table with the columns `there`.

        Raises HraError where one is not there, or none says which column is the audio or the text.
        """
        found = {}
        for name in (one.name for one in fields(self)):
            given = getattr(self, name)
            if given is not None and given not in there:
                raise HraError(f"{table} has no column '{given}'{did_you_mean(given, there)}")
            found[name] = given or next((one for one in PRESETS[preset].get(name, ()) if one in there), None)
        for name in ("audio", "text"):
            if found[name] is None:
                usual = " or ".join(f"'{one}'" for one in PRESETS[preset].get(name, ()))
                lacking = (
                    f"{table} has no column {usual}, which --preset {preset} takes for the {name}; " if usual else ""
                )
                known = ", ".join(f"'{one}'" for one in there)
                raise HraError(f"{lacking}say with --{name} which column of {table} is the {name}: {known[:500]}")
        return Columns(**found)


_USUAL: dict[str, tuple[str, ...]] = {"speaker": ("speaker",), "gender": ("gender",), "language": ("language",)}
# By preset, what each column may be called; the first that is there is taken.
PRESETS: dict[str, dict[str, tuple[str, ...]]] = {
    "none": _USUAL,
    "commonvoice": {
        "audio": ("path",),
        "text": ("sentence",),
        "speaker": ("client_id",),
        "gender": ("gender",),
        "language": ("locale",),
    },
    "audiofolder": {
        **_USUAL,
        "audio": ("file_name",),
        "text": ("transcription", "text"),
        "speaker": ("speaker", "speaker_id"),
    },
}
# Below the table's folder, where a preset has its audio.
AUDIO_FOLDERS = {"commonvoice": "clips"}
