#!/usr/bin/env python3
"""Makes accented English speech with eSpeak NG: digit strings and household commands, one voice per accent.

The voices are those of other languages. They read English words by their own rules and with their own sounds:
that is the accent to adapt to.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import espeakng_loader
import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from hra_cli.errors import HraError
from hra_cli.io.files import replacing

DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
HOURS = (*DIGITS[1:], "TEN")
TENS = ("TEN", "FIFTEEN", "TWENTY", "THIRTY", "FORTY")
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
ROOMS = ("KITCHEN", "BATHROOM", "BEDROOM", "GARAGE", "GARDEN", "OFFICE", "HALL")
DEVICES = ("LIGHT", "HEATER", "FAN", "RADIO")
COLOURS = ("GREEN", "BLUE", "RED", "WHITE", "YELLOW")
GOODS = ("APPLES", "BREAD", "COFFEE", "MILK", "RICE", "SUGAR", "TEA", "WATER")
PEOPLE = ("ANNA", "MARY", "PETER", "MY FATHER", "MY SISTER", "THE DOCTOR")

# Each command is a sequence of words to say and of word lists to choose from. The sentences are ones that the
# backbone recognises in eSpeak's English voice (en-us, 0.7 % WER), so that what it gets wrong is the accent.
COMMANDS = (
    ("TURN", ("ON", "OFF"), "THE", ROOMS, DEVICES),
    ("SWITCH THE", ROOMS, DEVICES, ("ON", "OFF")),
    ("SET THE", ROOMS, "HEATER TO", TENS, "DEGREES"),
    ("MAKE THE", ROOMS, "LIGHT", COLOURS),
    ("OPEN THE", ROOMS, "DOOR"),
    ("CLOSE THE", ROOMS, "WINDOW"),
    ("WAKE ME UP AT", HOURS, "ON", DAYS),
    ("REMIND ME TO BUY", GOODS, (*DAYS, "TOMORROW")),
    ("ADD", GOODS, "TO THE SHOPPING LIST"),
    ("SET A TIMER FOR", TENS, "MINUTES"),
    ("SET A TIMER FOR", HOURS[1:], "HOURS"),
    ("CALL", PEOPLE),
    ("SEND A MESSAGE TO", PEOPLE),
    ("PLAY", ("SOME DANCE MUSIC", "SOME MORNING MUSIC", "SOME PIANO MUSIC", "THE NEXT SONG")),
    (
        (
            "WHAT DAY IS IT",
            "WHAT IS THE TIME",
            "STOP THE MUSIC",
            "CANCEL THE TIMER",
            "GOOD MORNING",
            "GOOD NIGHT",
        ),
    ),
)
DIGIT_STRING_SHARE = 0.55
RATES = (130, 180)  # words a minute
PITCHES = (35, 65)  # eSpeak's scale, 0 to 99

# From eSpeak NG's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
RATE_PARAMETER, VOLUME_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 2, 3, 4
USUAL_RANGE, USUAL_VOLUME = 50, 100
POSITION_IN_CHARACTERS = 1
TEXT_IS_UTF8 = 1
SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Line:
    """One utterance to speak."""

    id: str
    voice: str
    split: str
    text: str
    rate: int
    pitch: int

    def wav(self, directory: Path) -> Path:
        return directory / "wav" / self.voice / f"{self.id}.wav"


class Espeak:
    """eSpeak NG in this process.

    The library keeps the state of its oscillators from one utterance to the next: speech is the same again
    only for the same utterances in the same order in a new process.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
        self.sampling_rate = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0)
        if self.sampling_rate <= 0:
            raise HraError(f"eSpeak NG cannot read its voices in {data}; install espeakng-loader again")
        self._chunks: list[bytes] = []
        # ctypes frees a callback that nothing refers to.
        self._callback = SYNTH_CALLBACK(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(
        self,
        voice: str,
        text: str,
        rate: int,
        pitch: int,
        pitch_range: int = USUAL_RANGE,
        volume: int = USUAL_VOLUME,
    ) -> np.ndarray:
        """The samples of `text`, int16. Raises HraError for unknown voices and silent or clipped speech.

        rate: words a minute. pitch, pitch_range, volume: on eSpeak's scales; a range of 0 is monotone.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise HraError(f"eSpeak NG has no voice '{voice}'; choose language codes such as fr, it or en-029")
        self._library.espeak_SetParameter(RATE_PARAMETER, rate, 0)
        self._library.espeak_SetParameter(PITCH_PARAMETER, pitch, 0)
        self._library.espeak_SetParameter(RANGE_PARAMETER, pitch_range, 0)
        self._library.espeak_SetParameter(VOLUME_PARAMETER, volume, 0)
        self._chunks.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, POSITION_IN_CHARACTERS, 0, TEXT_IS_UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        if not samples.any():
            raise HraError(f"eSpeak NG's voice '{voice}' says nothing for '{text}'; choose another voice")
        if samples.max() == 32767 or samples.min() == -32768:
            raise HraError(f"eSpeak NG's voice '{voice}' is clipped in '{text}'; choose another voice")
        return samples

    def _collect(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short)))
        return 0


def plan(voice: str, sizes: dict[str, int], seed: int) -> list[Line]:
    """The utterances of one voice: no text occurs twice, so none of one split occurs in another."""
    random = Random(f"{seed} {voice}")
    texts: dict[str, None] = {}  # a set that keeps its order
    while len(texts) < sum(sizes.values()):
        texts[draw_text(random)] = None
    # Short texts run out while drawing; shuffled, they are not all in the first split.
    shuffled = list(texts)
    random.shuffle(shuffled)
    remaining = iter(shuffled)
    lines = []
    for split, size in sizes.items():
        for index in range(size):
            prosody = Random(f"{seed} {voice} {split} {index}")
            lines.append(
                Line(
                    id=f"{voice}-{split}-{index:04d}",
                    voice=voice,
                    split=split,
                    text=next(remaining),
                    rate=prosody.randint(*RATES),
                    pitch=prosody.randint(*PITCHES),
                )
            )
    return lines


def draw_text(random: Random) -> str:
    """A string of one to six digit words, or a household command."""
    if random.random() < DIGIT_STRING_SHARE:
        return " ".join(random.choice(DIGITS) for _ in range(random.randint(1, 6)))
    command = random.choice(COMMANDS)
    return " ".join(part if isinstance(part, str) else random.choice(part) for part in command)


def speak_lines(lines: list[Line], directory: Path) -> list[MonoCut]:
    """Writes one voice's utterances as 16-bit WAV files. Must run in a process of its own, see `Espeak`."""
    espeak = Espeak()
    cuts = []
    for line in lines:
        # In capitals eSpeak would spell some words out.
        samples = espeak.speak(line.voice, line.text.lower(), line.rate, line.pitch)
        path = line.wav(directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, espeak.sampling_rate, subtype="PCM_16")
        labels = {"accent": line.voice, "split": line.split}
        cuts.append(as_cut(path, line.id, line.text, f"espeak-{line.voice}", labels))
    return cuts


def as_cut(path: Path, id_: str, text: str, speaker: str, labels: dict[str, str]) -> MonoCut:
    """A cut of the whole file; labels: its custom fields."""
    recording = Recording.from_file(path, recording_id=id_)
    supervision = SupervisionSegment(
        id=id_,
        recording_id=id_,
        start=0.0,
        duration=recording.duration,
        text=text,
        language="English",
        speaker=speaker,
        custom=labels,
    )
    return MonoCut(
        id=id_,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
        custom=dict(labels),
    )


def synthesise(directory: Path, voices: list[str], sizes: dict[str, int], seed: int, jobs: int) -> CutSet:
    """Speaks all utterances and writes `cuts.jsonl.gz` last, so that its presence means that all are there.

    Where it is there already nothing is spoken again. Raises HraError where it was made with other options.
    """
    directory = directory.resolve()
    lines = [plan(voice, sizes, seed) for voice in voices]
    cuts_path = directory / "cuts.jsonl.gz"
    if cuts_path.exists():
        cuts = CutSet.from_file(cuts_path).to_eager()
        there = {cut.id: cut.supervisions[0].text for cut in cuts}
        if there != {line.id: line.text for of_voice in lines for line in of_voice}:
            raise HraError(f"{cuts_path} was made with other options; remove {directory} or choose another")
        return cuts

    # A process speaks one voice only, which makes a voice's speech independent of the other voices.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(voices)), maxtasksperchild=1) as pool:
        spoken = pool.starmap(speak_lines, [(of_voice, directory) for of_voice in lines], chunksize=1)
    cuts = CutSet.from_cuts(cut for of_voice in spoken for cut in of_voice)
    with replacing(cuts_path) as temporary:
        cuts.to_file(temporary)
    return cuts


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, required=True, help="holds wav/ and cuts.jsonl.gz afterwards")
    parser.add_argument("--voices", default="fr,it,de,sv,cs,en-029", help="eSpeak NG voices (default: %(default)s)")
    parser.add_argument("--train", type=int, default=150, help="utterances per voice (default: %(default)s)")
    parser.add_argument("--dev", type=int, default=30, help="utterances per voice (default: %(default)s)")
    parser.add_argument("--test", type=int, default=60, help="utterances per voice (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    parser.add_argument("--num-jobs", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.voices = list(dict.fromkeys(voice for voice in arguments.voices.split(",") if voice))
    if not arguments.voices:
        parser.error("--voices names no voice; give language codes such as fr,it")
    for name in ("train", "dev", "test", "num_jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    sizes = {"train": arguments.train, "dev": arguments.dev, "test": arguments.test}
    started = time.monotonic()
    try:
        cuts = synthesise(arguments.output_dir, arguments.voices, sizes, arguments.seed, arguments.num_jobs)
    except HraError as error:
        print(f"synthesise.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    minutes = sum(cut.duration for cut in cuts) / 60
    print(
        f"{arguments.output_dir}: {len(cuts)} utterances, {len(arguments.voices)} accents, "
        f"{minutes:.1f} minutes, in {time.monotonic() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
