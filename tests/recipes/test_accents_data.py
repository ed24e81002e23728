import wave
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import warm
from lhotse import CutSet, validate

pytest.importorskip("espeakng_loader")

RECIPE = Path(__file__).parents[2] / "recipes" / "accents"
SIZES = {"train": 6, "dev": 2, "test": 3}


def synthesise(directory, *options):
    command = [RECIPE / "local" / "synthesise.py", "--output-dir", directory, "--voices", "fr,en-029"]
    command += [f"--{split}={size}" for split, size in SIZES.items()]
    return warm.run(*command, *options, code=warm.FILE)


def wav_bytes(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*.wav")}


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    directory = tmp_path_factory.mktemp("speech")
    done = synthesise(directory)
    assert done.returncode == 0, done.stderr
    assert "22 utterances, 2 accents" in done.stdout
    return directory


@pytest.fixture(scope="module")
def cuts(speech):
    return CutSet.from_file(speech / "cuts.jsonl.gz").to_eager()


def test_cuts_are_valid_and_complete(cuts):
    validate(cuts, read_data=True)
    counted = {}
    for cut in cuts:
        (supervision,) = cut.supervisions
        assert supervision.custom == cut.custom
        assert Path(cut.recording.sources[0].source).is_absolute()
        key = cut.custom["accent"], cut.custom["split"]
        counted[key] = counted.get(key, 0) + 1
    assert counted == {(accent, split): n for accent in ("fr", "en-029") for split, n in SIZES.items()}


def test_no_text_of_an_accent_occurs_twice(cuts):
    for accent in ("fr", "en-029"):
        texts = [cut.supervisions[0].text for cut in cuts if cut.custom["accent"] == accent]
        assert len(set(texts)) == len(texts) == sum(SIZES.values())


def test_every_word_is_in_the_backbones_alphabet(cuts):
    bpe = sentencepiece.SentencePieceProcessor(model_file=str(RECIPE / "backbone" / "bpe.model"))
    for cut in cuts:
        text = cut.supervisions[0].text
        assert bpe.decode(bpe.encode(text)) == text
        assert bpe.unk_id() not in bpe.encode(text)


def test_speech_is_audible_16_bit_and_not_clipped(speech):
    for path in speech.rglob("*.wav"):
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22050)
            assert file.getnframes() > 0.2 * 22050
            peak = np.abs(np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)).max()
        assert 1000 < peak < 32767


def test_the_same_seed_gives_the_same_bytes_whatever_the_other_voices(speech, tmp_path):
    assert synthesise(tmp_path / "again", "--num-jobs", "1").returncode == 0
    assert wav_bytes(tmp_path / "again") == wav_bytes(speech)

    assert synthesise(tmp_path / "one", "--voices", "en-029").returncode == 0
    one_voice = {path: content for path, content in wav_bytes(speech).items() if "en-029" in path.parts}
    assert wav_bytes(tmp_path / "one") == one_voice


def test_what_is_complete_is_left_alone(speech):
    before = {path: path.stat().st_mtime_ns for path in speech.rglob("*.*")}
    done = synthesise(speech)
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in speech.rglob("*.*")} == before


def test_other_options_for_the_same_folder_are_refused(speech):
    done = synthesise(speech, "--seed", "7")
    assert done.returncode == 2
    assert "made with other options" in done.stderr


def test_unknown_voice_is_one_line_and_leaves_no_cuts(tmp_path):
    done = synthesise(tmp_path, "--voices", "fr,nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("synthesise.py: error: eSpeak NG has no voice 'nonsense'")
    assert not (tmp_path / "cuts.jsonl.gz").exists()
