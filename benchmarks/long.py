"""A recording of an hour with known text, decoded as one file: WER against its utterances one by one, time and memory.

Phrases by eSpeak NG, and digits of FSDD where the corpus is there, with pauses of a second or two between them. Each
decoding is a process of its own, whose peak memory and time are its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lhotse.augmentation.torchaudio import get_or_create_resampler

from hra_cli.data.corpora.fsdd import DIGITS
from hra_cli.io.files import write_text
from hra_cli.scoring.wer import ErrorCounts, count_errors

ROOT = Path(__file__).parents[1]
BACKBONE = ROOT / "recipes" / "accents" / "backbone"
FSDD = ROOT.parent / "shared" / "data" / "fsdd" / "recordings"
RATE = 16000
PAUSES = (0.8, 2.0)  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--voice", default="en-us")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", default="wav", help="of the recording: wav, flac, mp3, ogg")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--backbone", type=Path, default=BACKBONE)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--options", nargs="*", default=[], help="more of `hra decode`, such as segment=vad")
    parser.add_argument("--of-both", nargs="*", default=[], help="the same, also of its utterances one by one")
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments, Path(folder))
    for name, value in found.items():
        print(f"{name}: {value}")
    if arguments.output:
        write_text(arguments.output, json.dumps(found, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    utterances = make_utterances(folder, arguments.minutes, arguments.voice, arguments.seed)
    meeting = folder / f"meeting.{arguments.format}"
    seconds = join(utterances, meeting, arguments.seed, arguments.channels)
    reference = " ".join(text for _, text in utterances).split()
    options = ["--backbone", arguments.backbone, "--no-heads", "--device", "cpu"]
    options += [f"--{one}" for one in arguments.of_both]
    long, took = decode([meeting], [*options, *(f"--{one}" for one in arguments.options)], arguments.threads)
    alone, _ = decode([file for file, _ in utterances], options, arguments.threads)
    one_by_one = sum(
        (count_errors(text.split(), alone[str(file)].split()) for file, text in utterances), start=ErrorCounts()
    )
    together = count_errors(reference, long[str(meeting)].split())
    between = count_errors(" ".join(alone[str(file)] for file, _ in utterances).split(), long[str(meeting)].split())
    return {
        "seconds of audio": round(seconds),
        "utterances": len(utterances),
        "words": len(reference),
        "WER one by one, %": round(one_by_one.wer or 0.0, 2),
        "WER as one recording, %": round(together.wer or 0.0, 2),
        "words that differ between the two, %": round(between.wer or 0.0, 2),
        **took,
    }


def make_utterances(folder: Path, minutes: float, voice: str, seed: int) -> list[tuple[Path, str]]:
    """Phrases and digits in a random order, for so many minutes with the pauses: files at 16 kHz and their texts."""
    spec = importlib.util.spec_from_file_location(
        "synthesise", ROOT / "recipes" / "accents" / "local" / "synthesise.py"
    )
    assert spec is not None
    assert spec.loader is not None
    synthesise = importlib.util.module_from_spec(spec)
    sys.modules["synthesise"] = synthesise
    spec.loader.exec_module(synthesise)
    chooser = random.Random(seed)
    digits = sorted(FSDD.glob("*.wav")) if FSDD.is_dir() else []
    chooser.shuffle(digits)
    espeak, made, seconds = synthesise.Espeak(), [], 0.0
    for number in range(int(minutes * 60)):
        if seconds >= minutes * 60:
            break
        if digits and number % 3 == 0:
            file = digits[number // 3 % len(digits)]
            samples, rate = soundfile.read(file, dtype="float32")
            text = DIGITS[int(file.name[0])]
        else:
            text = synthesise.draw_text(chooser)
            samples = espeak.speak(voice, text.lower(), chooser.randint(130, 180), 50).astype(np.float32) / 32768
            rate = espeak.sampling_rate
        made.append((folder / f"{number}.wav", text))
        soundfile.write(made[-1][0], at_16k(samples, rate), RATE)
        seconds += len(samples) / rate + sum(PAUSES) / 2
    return made


def at_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    import torch

    return get_or_create_resampler(rate, RATE)(torch.from_numpy(samples)).numpy() if rate != RATE else samples


def join(utterances: list[tuple[Path, str]], file: Path, seed: int, channels: int) -> float:
    """Writes the recording, utterance by utterance; says how many seconds it is."""
    noise = np.random.default_rng(seed)
    with soundfile.SoundFile(file, "w", RATE, channels) as recording:
        for one, _ in utterances:
            pause = noise.normal(0, 1e-4, round(RATE * noise.uniform(*PAUSES)))
            samples = np.concatenate([soundfile.read(one)[0], pause])
            recording.write(np.repeat(samples[:, None], channels, axis=1))
        return recording.frames / RATE


def decode(files: list[Path], options: list[Any], threads: int) -> tuple[dict[str, str], dict[str, Any]]:
    """Texts by file, and what `hra decode` took in a process of its own."""
    command = [sys.executable, "-m", "hra_cli", "decode", *map(str, files), *map(str, options), "--format", "json"]
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, stdout=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.monotonic() - started
        output.seek(0)
        found = [json.loads(line) for line in output]
    if status:
        sys.exit("hra decode has failed")
    return {one["file"]: one["text"] for one in found}, {
        "seconds of decoding": round(took, 1),
        "seconds of processors": round(usage.ru_utime + usage.ru_stime, 1),
        "peak memory, MB": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
