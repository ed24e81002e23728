"""One small, whole example of everything that hra reads: a recogniser, recordings, data, an experiment, a comparison.

Made by hra's own commands where it makes such files, with a recogniser of random weights, so that all takes seconds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from builders import tiny_backbone
from lhotse import CutSet
from recordings import digits_bpe, make_cut

from hra_cli.app import main
from hra_cli.data.corpora.fsdd import DIGITS
from hra_cli.io.tensors import write_safetensors

SPEAKERS = ("ann", "bob")
UTTERANCES = 6  # of each speaker
RATE = 16000


@dataclass(frozen=True)
class Samples:
    """Where they are, below one folder. They are only read; whoever changes one copies it first."""

    folder: Path

    @property
    def recogniser(self) -> Path:
        """model.safetensors and bpe.model."""
        return self.folder / "recogniser"

    @property
    def audio(self) -> Path:
        """SPEAKER-N.wav."""
        return self.folder / "audio"

    @property
    def cuts(self) -> Path:
        """A user's manifest of `audio`."""
        return self.folder / "cuts.jsonl.gz"

    @property
    def data(self) -> Path:
        """What `hra prepare` makes of `cuts`."""
        return self.folder / "data"

    @property
    def exp(self) -> Path:
        """What `hra train` and `hra decode` make of `data`."""
        return self.folder / "exp"

    @property
    def begun(self) -> Path:
        """The same experiment after the first of its two epochs."""
        return self.folder / "begun"

    @property
    def head(self) -> Path:
        """The head of SPEAKERS[0] with its controller, by `hra export-head`."""
        return self.folder / "ann.safetensors"

    @property
    def comparison(self) -> Path:
        """What `hra compare` makes of `data`."""
        return self.folder / "comparison"

    def train_arguments(self, data: Path | None = None, epochs: int = 2) -> list[str]:
        """Options of a run of seconds, without --exp-dir."""
        return [
            "--backbone", str(self.recogniser), "--data", str(data or self.data), "--hidden", "8",
            "--num-epochs", str(epochs), "--max-duration", "4", "--rnnt-type", "modified", "--device", "cpu",
        ]  # fmt: skip

    def compare_arguments(self) -> list[str]:
        """Options of a comparison of seconds, without --exp-dir."""
        return [
            "--backbone", str(self.recogniser), "--data", str(self.data), "--methods", "hra-linear:4",
            "--modes", "multi", "--lrs", "0.01", "--num-epochs", "1", "--rnnt-type", "modified",
            "--max-duration", "4", "--device", "cpu",
        ]  # fmt: skip


def make_samples(folder: Path, with_runs: bool = True) -> Samples:
    """Makes all in an empty folder; without `with_runs` no experiment and no comparison."""
    samples = Samples(folder)
    make_recogniser(samples.recogniser)
    make_recordings(samples.audio)
    make_manifest(samples.audio, samples.cuts)
    run("prepare", "cuts", samples.cuts, "--task-by", "speaker", "--output-dir", samples.data)
    if with_runs:
        run("train", *samples.train_arguments(), "--exp-dir", samples.exp)
        run("decode", "--backbone", samples.recogniser, "--data", samples.data, "--exp-dir", samples.exp)
        run("export-head", "--exp-dir", samples.exp, "--task", "ann", "--output", samples.head)
        run("train", *samples.train_arguments(epochs=1), "--exp-dir", samples.begun)
        config = samples.begun / "config.yaml"
        config.write_text(
            config.read_text(encoding="utf-8").replace("num_epochs: 1", "num_epochs: 2"), encoding="utf-8"
        )
        run("compare", *samples.compare_arguments(), "--exp-dir", samples.comparison)
    return samples


def make_recogniser(folder: Path) -> None:
    """model.safetensors and bpe.model, of 30 tokens."""
    folder.mkdir(parents=True)
    backbone = tiny_backbone()
    with torch.no_grad():
        backbone.joiner.output_linear.bias[0] -= 4.0  # blank: so that noise is recognised as words
    # Not as pretrained.pt, which takes longer to read.
    write_safetensors(folder / "model.safetensors", backbone.state_dict(), {})
    digits_bpe(folder, vocab_size=30)


def make_recordings(folder: Path) -> None:
    """SPEAKER-N.wav: noise that changes every 0.1 s, 0.6 to 0.85 s."""
    folder.mkdir(parents=True)
    for number, speaker in enumerate(SPEAKERS):
        for index in range(UTTERANCES):
            soundfile.write(
                folder / f"{speaker}-{index}.wav", sound(0.6 + 0.05 * index, 10 * number + index), RATE, "PCM_16"
            )


def sound(seconds: float, seed: int) -> np.ndarray:
    """Samples (n,), in [-1, 1]."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    loudness = np.repeat(rng.uniform(0.02, 0.25, count // 1600 + 1), 1600)[:count]
    return np.clip(rng.normal(0, 1, count) * loudness, -0.99, 0.99)


def make_manifest(audio: Path, file: Path) -> None:
    """A cut manifest of the recordings, each with its speaker and its text."""
    CutSet.from_cuts(
        make_cut(audio / f"{speaker}-{index}.wav", f"{DIGITS[index]} {DIGITS[9 - index]}", speaker)
        for speaker in SPEAKERS
        for index in range(UTTERANCES)
    ).to_file(file)


def run(*arguments: object) -> None:
    """Runs hra in this process, silently. Raises AssertionError where it does not end with 0."""
    with silent():
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
    assert not status, f"hra {' '.join(map(str, arguments))} ended with {status}"


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing that Python writes in the block reaches the terminal."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
