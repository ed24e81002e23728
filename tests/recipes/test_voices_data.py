import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import soundfile
import warm
from lhotse import CutSet, validate

pytest.importorskip("espeakng_loader")

RECIPES = Path(__file__).parents[2] / "recipes"
SIZES = {"train": 4, "dev": 1, "test": 2}


def synthesise(directory, *options):
    script = RECIPES / "voices" / "local" / "synthesise_voices.py"
    command = [script, "--output-dir", directory, "--speakers", "5", "--num-jobs", "1"]
    command += [f"--{split}={size}" for split, size in SIZES.items()]
    return warm.run(*command, *options, code=warm.FILE)


def audio_bytes(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*.flac")}


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    directory = tmp_path_factory.mktemp("voices")
    done = synthesise(directory)
    assert done.returncode == 0, done.stderr
    assert "35 utterances, 5 speakers" in done.stdout
    return directory


@pytest.fixture(scope="module")
def cuts(speech):
    return CutSet.from_file(speech / "cuts.jsonl.gz").to_eager()


@pytest.fixture(scope="module")
def scripts():
    """The modules of the recipe, which its scripts import from beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(RECIPES / "voices" / "local"), *sys.path])
        yield importlib.import_module("synthesise_voices"), importlib.import_module("traits")
    for name in ("synthesise_voices", "traits", "synthesise"):
        del sys.modules[name]


def test_cuts_are_valid_and_complete(cuts):
    validate(cuts, read_data=True)
    counted = {}
    for cut in cuts:
        (supervision,) = cut.supervisions
        key = supervision.speaker, cut.custom["split"]
        counted[key] = counted.get(key, 0) + 1
    names = [f"voice-00{number}" for number in range(5)]
    assert counted == {(name, split): size for name in names for split, size in SIZES.items()}


def test_no_text_is_in_two_splits_whoever_speaks_it(scripts):
    plan = scripts[0].plan
    splits = {}
    for number in range(64):
        lines = plan(f"voice-{number:03d}", {"train": 20, "dev": 4, "test": 10}, seed=42)
        assert len({line.text for line in lines}) == len(lines) == 34
        for line in lines:
            splits.setdefault(line.text, set()).add(line.split)
    assert 64 < len(splits) < 64 * 34  # some are said by several
    assert all(len(found) == 1 for found in splits.values())


def test_every_word_is_in_the_backbones_alphabet(cuts):
    bpe = sentencepiece.SentencePieceProcessor(model_file=str(RECIPES / "accents" / "backbone" / "bpe.model"))
    for cut in cuts:
        text = cut.supervisions[0].text
        assert bpe.decode(bpe.encode(text)) == text


def test_speech_is_audible_and_not_clipped(speech):
    for path in speech.rglob("*.flac"):
        samples, rate = soundfile.read(path, dtype="int16")
        assert (samples.ndim, rate) == (1, 16000)
        assert 0.7 * 32767 - 1 < np.abs(samples.astype(int)).max() < 0.7 * 32767 + 1
        assert np.sqrt(np.mean(samples.astype(float) ** 2)) > 300


def test_a_line_of_traits_for_every_speaker_each_unlike_the_others(speech):
    lines = [json.loads(line) for line in (speech / "traits.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [f"voice-00{number}" for number in range(5)]
    assert len({json.dumps({**line, "name": ""}) for line in lines}) == 5


def test_the_same_seed_gives_the_same_bytes_whatever_the_other_speakers(speech, tmp_path):
    assert synthesise(tmp_path, "--speakers", "2", "--num-jobs", "2").returncode == 0
    found, before = audio_bytes(tmp_path), audio_bytes(speech)
    assert len(found) == 2 * (4 + 1 + 2)
    assert found == {path: before[path] for path in found}


def test_what_is_complete_is_left_alone(speech):
    before = {path: path.stat().st_mtime_ns for path in speech.rglob("*.*")}
    assert synthesise(speech).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in speech.rglob("*.*")} == before


def test_other_options_for_the_same_folder_are_refused(speech):
    done = synthesise(speech, "--seed", "7")
    assert done.returncode == 2
    assert "made with other options" in done.stderr


def test_every_speaker_is_drawn_for_oneself_and_has_some_traits(scripts):
    traits = scripts[1]
    everyone = [traits.draw_traits(number, seed=42) for number in range(128)]
    assert everyone[77] == traits.draw_traits(77, seed=42) != traits.draw_traits(77, seed=1)
    usual = {"pitch_range": 50, "tract": 1.0, "pauses": 0.0, "slur": 0.0, "breath": 0.0, "tremor": 0.0}
    for name, value in usual.items():
        different = [one for one in everyone if getattr(one, name) != value]
        assert 30 <= len(different) <= 98, name
    assert all(80 <= one.rate <= 170 for one in everyone)
    assert len({one.voice for one in everyone}) > 60


def test_each_trait_is_heard(scripts):
    """On a tone that stops and goes on, each trait changes what it says it does."""
    traits = scripts[1]
    rate = 22050
    times = np.arange(rate) / rate
    tone = 8000 * np.sin(2 * np.pi * 500 * times) * (np.abs(times - 0.5) > 0.05)
    usual = traits.Traits("ann", "en-us", 150, 50, 50, tract=1.0, pauses=0.0, slur=0.0, breath=0.0, tremor=0.0)

    def spoken(**changed):
        one = traits.Traits(**{**vars(usual), **changed})
        return traits.spoken_with(tone.astype(np.int16), rate, one, seed="one")

    def loudest(speech):
        return np.argmax(np.abs(np.fft.rfft(speech))) * rate / len(speech)

    def loudness(speech):
        blocks = speech[2205:-2205].reshape(-1, 441) if len(speech) == rate else speech[: len(speech) // 441 * 441]
        return np.sqrt(np.mean(blocks.reshape(-1, 441) ** 2, axis=1))

    as_it_was = spoken()
    assert np.abs(as_it_was - tone).max() <= 1
    assert loudest(as_it_was) == pytest.approx(500, abs=2)
    assert loudest(spoken(tract=1.2)) == pytest.approx(600, abs=3)
    assert len(spoken(tract=1.2)) == pytest.approx(rate / 1.2, abs=1)
    assert rate + 2 * 0.15 * rate <= len(spoken(pauses=2.0)) <= rate + 2 * 0.5 * rate
    assert loudness(spoken(tremor=0.8)).std() > 3 * loudness(as_it_was)[loudness(as_it_was) > 100].std()
    # The silence within, at the middle, is filled by what is around it.
    silence = slice(rate // 2 - 600, rate // 2 + 600)
    assert np.abs(spoken(slur=0.2)[silence]).mean() > 10 * np.abs(as_it_was[silence]).mean() + 10
    spectrum = np.abs(np.fft.rfft(spoken(breath=1.0)))
    assert spectrum.max() / spectrum.mean() < 0.5 * np.abs(np.fft.rfft(tone)).max() / np.abs(np.fft.rfft(tone)).mean()
