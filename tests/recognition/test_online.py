"""Recognition while somebody speaks: real speech through the streaming recogniser that the repository ships."""

import json

import numpy as np
import pytest
import soundfile
import torch
from builders import random_adapter, refused
from lhotse.augmentation.torchaudio import get_or_create_resampler
from speech import ROOT, hra

from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.data.features import SILENCE, fbank
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.recognition.endpoint import EndpointRules
from hra_cli.recognition.microphone import listen, microphone
from hra_cli.recognition.online import TAIL_FRAMES, OnlineRecogniser
from hra_cli.transducer.adapted import AdaptedModel
from hra_cli.transducer.search import search

STREAMING = ROOT / "recipes" / "streaming" / "backbone"
TASKS = ("ann", "bob", "eve")
METHODS = ("greedy_search", "modified_beam_search")
OPTIONS = ["--chunk-size", "32", "--left-context-frames", "128"]


@pytest.fixture(scope="module")
def model():
    """The recogniser, chunks of 32 frames, and heads of three tasks that change what it hears."""
    backbone = load_backbone(STREAMING, BackboneOptions(chunk_size=32, left_context_frames=128, device="cpu"))
    adapter = random_adapter(TASKS, backbone.width, seed=1, scale=0.1)
    return AdaptedModel(backbone, load_tokenizer(STREAMING / "bpe.model"), adapter)


@pytest.fixture(scope="module")
def frozen(model):
    """The recogniser alone: what random heads add to pauses would end utterances early."""
    return AdaptedModel(model.backbone, model.tokenizer)


@pytest.fixture(scope="module")
def speech(data):
    """Two utterances as samples with their rate, and their files."""
    files = sorted((data.parent / "speech").rglob("fr-test-*.wav"))[:2]
    return [soundfile.read(file, dtype="float32") for file in files], files


def spoken(stream, samples, rate, seed=0):
    """A stream that has heard the samples, piece by piece."""
    chooser, begin = np.random.default_rng(seed), 0
    while begin < len(samples):
        end = begin + int(chooser.integers(100, 5000))
        stream.accept(samples[begin:end], rate)
        begin = end
    stream.finish()
    return stream


def whole(model, samples, rate, task, method):
    """What is found in the masked whole utterance, followed by as much silence as a stream is."""
    backbone = model.backbone
    at_16k = get_or_create_resampler(rate, 16000)(torch.from_numpy(samples))
    features = torch.as_tensor(fbank().extract(at_16k, 16000))
    shift, take = backbone.chunk_features
    chunks = -(-(len(features) + TAIL_FRAMES) // shift)
    frames = (chunks - 1) * shift + take
    features = torch.cat([features, torch.full((frames - len(features), 80), SILENCE)])
    with torch.no_grad():
        out, _ = backbone.encode(features[None], torch.tensor([frames]), model.adapter.for_tasks([task]))
    lens = torch.tensor([chunks * shift // backbone.sizes.subsampling])
    (found,) = search(method, backbone, out[:, : int(lens)], lens)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_finds_what_is_found_in_the_whole(model, speech, method):
    online = OnlineRecogniser(model, method)
    texts = set()
    for samples, rate in speech[0]:
        for task in TASKS:
            stream = spoken(online.open(task), samples, rate)
            expected = whole(model, samples, rate, task, method)
            assert stream.hypothesis == expected
            assert stream.text() == model.tokenizer.decode(expected.tokens) != ""
            assert stream.tokens == model.tokenizer.pieces(expected.tokens)
            assert stream.times == [round(0.04 * frame, 3) for frame in expected.frames]
            texts.add(stream.text())
    assert len(texts) > 2


@pytest.mark.parametrize("method", METHODS)
def test_many_streams_in_one_batch_find_what_each_finds_alone(model, speech, method):
    """Each with its own head, beginning one chunk after the one before, and ending when its sound does."""
    online = OnlineRecogniser(model, method)
    sounds = [(task, samples, rate) for task in TASKS for samples, rate in speech[0]]
    alone = [spoken(online.open(task), samples, rate).hypothesis for task, samples, rate in sounds]
    streams, together = [], []
    for task, samples, rate in sounds:
        streams.append(spoken(online.open(task), samples, rate))
        together.append(online.advance(streams))
    while any(stream.is_ready for stream in streams):
        together.append(online.advance(streams))
    assert max(together) > 2
    assert all(stream.is_finished for stream in streams)
    assert [stream.hypothesis for stream in streams] == alone
    assert online.advance(streams) == 0


def test_a_stream_of_an_unknown_task_is_heard_with_the_head_for_those(model, speech):
    online = OnlineRecogniser(model)

    def heard(task):
        streams = [spoken(online.open(task), samples, rate) for samples, rate in speech[0]]
        while any(stream.is_ready for stream in streams):
            online.advance(streams)
        return [stream.hypothesis for stream in streams]

    own = [heard(task) for task in TASKS]
    assert own.count(own[0]) == 1
    model.adapter.for_unknown_tasks = TASKS[0]
    try:
        assert heard("zoe") == own[0]
        assert [heard(task) for task in TASKS] == own
    finally:
        model.adapter.for_unknown_tasks = None


def test_a_stream_given_twice_hears_every_chunk_once(model, speech):
    (samples, rate), _ = speech[0]
    online = OnlineRecogniser(model)
    expected = spoken(online.open("ann"), samples, rate).hypothesis
    stream = spoken(online.open("ann"), samples, rate)
    while stream.is_ready:
        assert online.advance([stream, stream]) == 1
    assert stream.hypothesis == expected


def test_text_is_there_while_somebody_speaks(model, speech):
    (samples, rate), _ = speech[0]
    stream = OnlineRecogniser(model).open("ann")
    texts = []
    for begin in range(0, len(samples), 1600):
        stream.accept(samples[begin : begin + 1600], rate)
        texts.append(stream.text())
    stream.finish()
    assert texts[0] == ""
    assert 0 < len(texts[-1]) <= len(stream.text())
    assert stream.text().startswith(texts[-1])


def test_an_utterance_ends_after_silence_and_another_begins(frozen, speech):
    online = OnlineRecogniser(frozen, rules=EndpointRules(rule2_min_trailing_silence=0.8))
    (first, rate), (second, _) = speech[0]
    silence = np.zeros(3 * rate, np.float32)
    stream, heard = online.open(), []
    for samples in (first, silence, second, silence):
        for begin in range(0, len(samples), 3200):
            stream.accept(samples[begin : begin + 3200], rate)
            online.run([stream])
            if stream.is_endpoint():
                heard.append((stream.text(), stream.times))
                stream.next_utterance()
                assert stream.text() == ""
    spoken_texts = [(text, times) for text, times in heard if text]
    assert len(spoken_texts) == 2
    assert spoken_texts[0][0] == spoken(online.open(), np.concatenate([first, silence]), rate).text()
    assert spoken_texts[1][1][0] > len(first) / rate + 3  # times go on


def test_the_rules_of_an_endpoint():
    rules = EndpointRules()
    assert not rules.hold(spoken=False, trailing_silence=2.3, length=2.3)
    assert rules.hold(spoken=False, trailing_silence=2.4, length=2.4)
    assert not rules.hold(spoken=True, trailing_silence=1.1, length=5)
    assert rules.hold(spoken=True, trailing_silence=1.2, length=5)
    assert rules.hold(spoken=True, trailing_silence=0, length=20)
    with refused("--rule1-min-trailing-silence must be positive"):
        EndpointRules(rule1_min_trailing_silence=0)


def test_blocks_of_a_microphone_become_utterances(frozen, speech):
    """What `hra decode --microphone` does with what it hears."""
    (samples, rate), _ = speech[0]
    online = OnlineRecogniser(frozen, rules=EndpointRules(rule2_min_trailing_silence=0.8))
    silence = np.zeros(2 * rate, np.float32)
    sound = np.concatenate([samples, silence, samples])
    blocks = [sound[begin : begin + 1600] for begin in range(0, len(sound), 1600)]
    heard = list(listen(blocks, online.open(), rate))
    ended = [one.text for one in heard if one.ended]
    assert len(ended) == 2
    assert ended[0] == spoken(online.open(), np.concatenate([samples, silence]), rate).text()
    growing = [one.text for one in heard if not one.ended]
    assert growing
    assert all(one != other for one, other in zip(growing, growing[1:]))  # only what has changed is said


def test_no_microphone_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    with refused("needs the package sounddevice", "pip install -e '.[microphone]'"):
        microphone()


def test_mistakes(model):
    with refused("fast_beam_search does not stream; use greedy_search or modified_beam_search"):
        OnlineRecogniser(model, "fast_beam_search")
    online = OnlineRecogniser(model)
    with refused("no head for task 'anne'; did you mean 'ann'"):
        online.open("anne")
    stream = online.open("ann")
    stream.finish()
    assert stream.text() == ""
    for late in (stream.finish, lambda: stream.accept([0.0], 16000)):
        with refused("the stream has ended"):
            late()


def test_a_stream_of_another_recogniser_is_refused(model):
    stream = OnlineRecogniser(model).open("ann")
    stream.finish()
    with refused("opened by another recogniser"):
        OnlineRecogniser(model).advance([stream])


@pytest.mark.parametrize("features", [torch.zeros(10, 40), torch.zeros(80), torch.zeros(10, 80).double()])
def test_what_is_no_features_is_refused(model, features):
    with refused(r"features \(T, 80\) in float32", tuple(features.shape)):
        OnlineRecogniser(model).open("ann").accept_features(features)


def test_a_click_is_a_stream(model):
    stream = OnlineRecogniser(model).open("ann")
    stream.accept(np.full(100, 0.1), 16000)
    stream.finish()
    assert stream.text() == ""


def test_files_and_data_are_decoded_as_streams(data, speech, tmp_path):
    files = speech[1]
    frozen = ["--backbone", STREAMING, "--no-heads", *OPTIONS]
    done = hra("decode", *files, *frozen, "--streaming", "--format", "json")
    found = {one["file"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert list(found) == list(map(str, files))
    assert "latency: up to 0.77 s" in done.stderr

    backbone = load_backbone(STREAMING, BackboneOptions(chunk_size=32, left_context_frames=128, device="cpu"))
    online = OnlineRecogniser(AdaptedModel(backbone, load_tokenizer(STREAMING / "bpe.model")))
    for file, (samples, rate) in zip(files, speech[0]):
        assert found[str(file)]["text"] == spoken(online.open(), samples, rate).text()

    done = hra(
        "decode",
        "--data",
        data,
        *frozen,
        "--streaming",
        "--output-dir",
        tmp_path / "out",
        "--json",
        tmp_path / "x.json",
    )
    written = json.loads((tmp_path / "x.json").read_text())
    latency = written["speed"]["latency"]
    assert latency["algorithmic_seconds"] == 0.77
    assert 0 < latency["chunk_seconds_median"] <= latency["chunk_seconds_95"]
    assert latency["streams"] == 12
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert "recogs-test-greedy_search-no-heads-streaming-chunk-size-32-left-context-frames-128.txt" in names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--streaming"], "a stream needs --chunk-size and --left-context-frames"),
        (["--streaming", "--chunk-size", "32", "--left-context-frames", "40"], "must be a multiple of --chunk-size 32"),
        (["--streaming", *OPTIONS, "--decoding-method", "fast_beam_search"], "does not stream"),
        (["--rule1-min-trailing-silence", "3"], "--rule1-min-trailing-silence has no effect without --microphone"),
        (["--microphone", *OPTIONS, "x.wav"], "give audio files, --data or --microphone, one of them"),
        (["--microphone", *OPTIONS, "--json", "x.json"], "--json has no effect with --microphone"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, words, tmp_path):
    given = [] if "--microphone" in arguments else ["x.wav"]
    done = hra("decode", *given, "--backbone", STREAMING, "--no-heads", *arguments, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_silence_after_a_stream_is_that_of_samples_that_are_zero():
    heard = torch.as_tensor(fbank().extract(torch.zeros(1600), 16000))
    assert torch.allclose(heard, torch.tensor(SILENCE), atol=1e-5, rtol=0)
