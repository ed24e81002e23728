"""From audio to words, tokens and times, from Python."""

import json

import numpy as np
import pytest
import soundfile
from builders import random_adapter, refused
from searches import SEARCHES
from speech import BACKBONE

from hra_cli.data.batches import audio_file_cuts, task_of
from hra_cli.recognition.batch import decode_cuts, for_task
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser


@pytest.fixture(scope="module")
def recogniser():
    return load_recogniser(BACKBONE)


@pytest.fixture(scope="module")
def spoken(data):
    """Recordings of synthesised speech, several words each."""
    return sorted((data.parent / "speech").rglob("de-test-*.wav"))


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
def test_tokens_and_times_of_recordings_are_those_of_sherpa_onnx(shared, method):
    expected = {
        str(shared / "data" / "fsdd" / "recordings" / one["file"]): one[method]
        for one in json.loads((shared / "fixtures" / "sherpa-onnx" / "offline.json").read_text())["files"]
    }
    recogniser = load_recogniser(shared / "models" / "zipformer-tts-en")
    found = decode_cuts(recogniser, audio_file_cuts(list(expected)), method).utterances
    assert {one.id for one in found} == expected.keys()
    for one in found:
        assert " ".join(one.hyp) == expected[one.id]["text"]
        assert [token.replace("▁", " ") for token in one.tokens] == expected[one.id]["tokens"]
        assert one.times == pytest.approx(expected[one.id]["timestamps"])


@pytest.mark.parametrize("method", SEARCHES)
def test_tokens_make_up_the_words_and_have_times_in_the_file(recogniser, spoken, method):
    for one in decode_cuts(recogniser, audio_file_cuts(spoken), method).utterances:
        assert "".join(one.tokens).replace("▁", " ").split() == one.hyp
        assert len(one.times) == len(one.tokens) > 1
        assert one.times == sorted(set(one.times))
        assert 0 <= one.times[0] < 0.3 < one.times[-1] < soundfile.info(one.id).duration
        assert [round(time / 0.04) * 0.04 for time in one.times] == pytest.approx(one.times)


@pytest.mark.parametrize("method", SEARCHES)
def test_the_last_word_comes_a_second_later_after_a_second_of_silence(recogniser, spoken, tmp_path, method):
    """Not the first, which this recogniser likes to emit as soon as it can."""
    later = [tmp_path / file.name for file in spoken]
    for file, copy in zip(spoken, later):
        samples, rate = soundfile.read(file, dtype="float32")
        soundfile.write(copy, np.concatenate([np.zeros(rate, np.float32), samples]), rate)
    found = {one.id: one for one in decode_cuts(recogniser, audio_file_cuts(spoken + later), method).utterances}
    for file, copy in zip(spoken, later):
        before, after = found[str(file)], found[str(copy)]
        assert after.tokens[-1] == before.tokens[-1]
        assert after.times[-1] == pytest.approx(before.times[-1] + 1.0, abs=0.1)


def test_loose_audio_is_given_to_the_only_head(recogniser, spoken):
    one_head = Recogniser(recogniser.backbone, recogniser.tokenizer, random_adapter(["ann"], recogniser.backbone.width))
    cuts = audio_file_cuts(spoken)
    given = for_task(cuts, one_head)
    assert {task_of(cut) for cut in given} == {"ann"}
    assert {task_of(cut) for cut in cuts} == {""}, "the cuts themselves are left as they are"
    assert {one.task for one in decode_cuts(one_head, given).utterances} == {"ann"}
    assert list(for_task(cuts, recogniser)) == list(cuts)


def test_one_of_several_heads_must_be_named(recogniser, spoken):
    adapter = random_adapter(["ann", "bob"], recogniser.backbone.width)
    several = Recogniser(recogniser.backbone, recogniser.tokenizer, adapter)
    assert {task_of(cut) for cut in for_task(audio_file_cuts(spoken), several, "bob")} == {"bob"}
    with refused(r"several heads are there \(ann, bob\); say with --task"):
        for_task(audio_file_cuts(spoken), several)
