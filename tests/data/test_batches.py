import os

import numpy as np
import pytest
import soundfile
import torch
from cut_lists import cuts_by_task
from lhotse import CutSet
from lhotse.testing.dummies import dummy_cut
from recordings import make_cut, write_wav

from hra_cli.data.batch_plan import decoding_batches, training_batches
from hra_cli.data.batches import (
    LOG_EPSILON,
    SpeechDataset,
    audio_file_cuts,
    load_batches,
)
from hra_cli.data.preparation import prepare
from hra_cli.data.splits import RandomSplit
from hra_cli.errors import HraError


@pytest.fixture
def on_the_fly(corpus, tmp_path):
    cuts, _ = cuts_by_task(corpus, "speaker")
    return prepare(cuts, tmp_path / "fly", {}, random_split=RandomSplit(0, 0), num_jobs=1, on_the_fly=True).cuts(
        "ann", "train"
    )


@pytest.fixture
def stored(corpus, tmp_path):
    cuts, _ = cuts_by_task(corpus, "speaker")
    return prepare(cuts, tmp_path / "stored", {}, random_split=RandomSplit(0, 0), num_jobs=1).cuts("ann", "train")


def ids(plan):
    return [[cut.id for cut in cuts] for cuts in plan]


def flat(plan):
    return [name for names in ids(plan) for name in names]


def test_a_batch_is_padded_and_in_order(stored):
    batch = SpeechDataset()[stored]
    assert batch.features.shape == (6, 55, 80)
    assert batch.features.dtype == torch.float32
    assert not batch.features.requires_grad
    assert batch.feature_lens.tolist() == [30, 35, 40, 45, 50, 55]
    assert batch.feature_lens.dtype == torch.int64
    assert batch.ids == [f"ann-{index}" for index in range(6)]
    assert batch.tasks == ["ann"] * 6
    assert batch.texts == ["ONE TWO"] * 6
    assert batch.durations == pytest.approx([0.3, 0.35, 0.4, 0.45, 0.5, 0.55])
    assert (batch.features[0, 30:] == LOG_EPSILON).all()
    assert (batch.features[0, :30] != LOG_EPSILON).all()


def test_features_on_the_fly_are_the_stored_ones(stored, on_the_fly):
    assert not next(iter(on_the_fly)).has_features
    expected, found = SpeechDataset()[stored], SpeechDataset()[on_the_fly]
    assert found.ids == expected.ids
    assert found.feature_lens.tolist() == expected.feature_lens.tolist()
    # lilcom keeps multiples of 1/32
    assert (found.features - expected.features).abs().max() < 0.05
    assert (found.features - expected.features).abs().max() > 0


def test_training_batches_cover_each_cut_once_and_repeat(corpus):
    plan = training_batches(corpus, max_duration=1.5, seed=3, epoch=1)
    assert sorted(flat(plan)) == sorted(corpus.ids)
    assert len(plan) > 2
    for cuts in plan:
        before_last = [cut.duration for cut in cuts][:-1]
        assert len(before_last) * max(before_last, default=0) < 1.5
    assert ids(training_batches(corpus, 1.5, seed=3, epoch=1)) == ids(plan)
    others = [(3, 2), (4, 1), (2, 2)]
    assert all(ids(training_batches(corpus, 1.5, seed, epoch)) != ids(plan) for seed, epoch in others)
    assert ids(training_batches(corpus, 1.5, 2, 1)) != ids(training_batches(corpus, 1.5, 1, 2))


def test_a_larger_set_is_batched_by_length():
    cuts = CutSet.from_cuts(dummy_cut(index, duration=4.0 if index % 2 else 1.0) for index in range(200))
    plans = [training_batches(cuts, max_duration=20.0, seed=1, epoch=epoch) for epoch in (1, 2)]
    for plan in plans:
        assert sorted(flat(plan)) == sorted(cuts.ids)
        assert all(len({cut.duration for cut in batch}) == 1 for batch in plan)
    lengths = [[next(iter(batch)).duration for batch in plan] for plan in plans]
    assert lengths[0] != lengths[1]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 11])
def test_training_batches_of_few_cuts(corpus, number):
    cuts = CutSet.from_cuts(list(corpus)[:number])
    assert sorted(flat(training_batches(cuts, 100.0, 1, 1))) == sorted(cut.id for cut in cuts)
    # shorter than any cut
    assert sorted(flat(training_batches(cuts, 0.1, 1, 1))) == sorted(cut.id for cut in cuts)


def test_decoding_batches_are_longest_first(corpus):
    plan = decoding_batches(corpus, max_duration=1.5)
    assert sorted(flat(plan)) == sorted(corpus.ids)
    durations = [cut.duration for cuts in plan for cut in cuts]
    assert durations == sorted(durations, reverse=True)
    assert all(len(cuts) * max(cut.duration for cut in cuts) <= 1.5 for cuts in plan)
    assert len(plan) > 2
    assert len(decoding_batches([], 1.5)) == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_in_the_order_of_the_plan(stored, num_workers):
    plan = training_batches(stored, max_duration=1.0, seed=1, epoch=1)
    batches = list(load_batches(plan, num_workers))
    assert [batch.ids for batch in batches] == ids(plan)
    assert all(torch.isfinite(batch.features).all() for batch in batches)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_read_ahead_are_the_ones_read_here(on_the_fly, num_workers):
    plan = decoding_batches(on_the_fly, max_duration=1.0)
    assert len(plan) > 2
    for cuts, batch in zip(plan, load_batches(plan, num_workers)):
        assert torch.equal(batch.features, SpeechDataset()[cuts].features)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_before_the_one_that_cannot_be_read_come_first(on_the_fly, tmp_path, num_workers):
    plan = decoding_batches(on_the_fly, max_duration=0.1)
    third = ids(plan)[2][0]
    (tmp_path / "audio" / f"{third}.wav").unlink()
    batches = load_batches(plan, num_workers)
    assert [next(batches).ids for _ in range(2)] == ids(plan)[:2]
    with pytest.raises(HraError, match=f"^cannot read cut '{third}': "):
        next(batches)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_read_is_named_in_one_line(stored, on_the_fly, tmp_path, num_workers):
    os.rename(tmp_path / "stored", tmp_path / "moved")
    moved = CutSet.from_jsonl_lazy(tmp_path / "moved" / "cuts" / "ann" / "train.jsonl.gz")
    with pytest.raises(HraError, match=r"^cannot read cut 'ann-\d': .*feats-000000\.lca is missing.*$") as caught:
        list(load_batches(decoding_batches(moved, 1.0), num_workers))
    assert "\n" not in str(caught.value)
    (tmp_path / "audio" / "ann-5.wav").write_text("no audio")
    with pytest.raises(HraError, match=r"^cannot read cut 'ann-5': .*audio/ann-5\.wav: not an audio") as caught:
        list(load_batches(decoding_batches(on_the_fly, 1.0), num_workers))
    assert "\n" not in str(caught.value)


def test_loose_audio_files(tmp_path):
    stereo = write_wav(tmp_path / "stereo.wav", seconds=1.0, rate=44100, channels=2)
    flac = tmp_path / "eight.flac"
    soundfile.write(flac, np.zeros(4000), 8000)
    cuts = audio_file_cuts([stereo, flac])
    batch = SpeechDataset()[cuts]
    assert batch.ids == [str(stereo), str(flac)]
    assert batch.feature_lens.tolist() == [100, 50]
    assert (batch.texts, batch.tasks) == (["", ""], ["", ""])


def test_loose_files_that_are_no_audio_are_refused(tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    truncated = write_wav(tmp_path / "truncated.wav")
    os.truncate(truncated, 1000)
    for path, message in [
        (text, "not an audio file"),
        (tmp_path / "nowhere.wav", "no such audio file"),
        (truncated, "cut off"),
        (write_wav(tmp_path / "short.wav", seconds=0.05), "shorter than 0.1 s"),
    ]:
        with pytest.raises(HraError, match=f"^{path}: .*{message}") as caught:
            audio_file_cuts([path])
        assert "\n" not in str(caught.value)


def test_features_are_those_of_the_audio(tmp_path):
    """A tone's energy lies in the mel bin of its frequency, whatever the rate it was recorded at."""
    peaks = []
    for rate in (8000, 16000, 48000):
        path = tmp_path / f"{rate}.wav"
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate), rate)
        features = SpeechDataset()[CutSet.from_cuts([make_cut(path).resample(16000)])].features
        peaks.append(int(features[0, 50].argmax()))
    assert peaks[0] == peaks[1] == peaks[2]
    assert 20 < peaks[0] < 40
