"""Heads trained for streaming: every batch with chunks that are drawn for it."""

import copy
import dataclasses
import os
import shutil
import signal

import pytest
import torch
from builders import refused
from data_folders import write_split
from speech import BACKBONE, TASKS, config, heads_of

from hra_cli.adapter.head_file import read_head
from hra_cli.app import main
from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import WHOLE, BackboneOptions, Chunking
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import load_batches
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.config import load_config, save_config
from hra_cli.experiment.metrics import dev_records
from hra_cli.report.experiment_content import read_experiment
from hra_cli.report.facts import describe
from hra_cli.training.step import TrainingStep
from hra_cli.training.train_heads import heads_loop, train

CHUNKS = {"chunk_size": (16, 32, WHOLE), "left_context_frames": (32, 64, WHOLE)}


@pytest.fixture(scope="module")
def chosen(data, causal_recogniser, tmp_path_factory):
    """The configuration of a run on a few utterances of `data`, with these changes."""
    little = shutil.copytree(data, tmp_path_factory.mktemp("little") / "data")
    for task in TASKS:
        for split, count in (("train", 3), ("dev", 1)):
            write_split(little, task, split, list(load_tasks(little).cuts(task, split))[:count])

    def changed(**changes):
        settings = {"max_duration": 3.0, "spec_augment": False, **changes}
        return dataclasses.replace(config(little, **settings), backbone=str(causal_recogniser))

    return changed


@pytest.fixture(scope="module")
def streaming(chosen, tmp_path_factory):
    """An experiment whose chunks are drawn; tests leave it as it is."""
    exp_dir = tmp_path_factory.mktemp("streaming") / "exp"
    train(chosen(**CHUNKS), exp_dir)
    return exp_dir


def test_a_batch_is_trained_with_the_chunks_that_are_drawn_for_it(chosen, tmp_path):
    loop = heads_loop(chosen(**CHUNKS), tmp_path)
    batch = next(iter(load_batches(training_batches(loop.data.train, 3.0, 1, 0))))
    losses = {}
    for number in range(12):
        chunking = loop.config.chunk_plan.drawn(loop.config.seed, number)
        losses.setdefault(chunking, set()).add(loop.step(copy.copy(batch), number, 0.0).total)
    assert len(losses) > 3
    assert len(set.union(*losses.values())) == len(losses), "chunks make no difference here"
    for chunking in (Chunking(), Chunking(16, 32), Chunking(32, 64)):
        alone = heads_loop(chosen(**chunking._asdict()), tmp_path)
        assert losses[chunking] == {alone.step(copy.copy(batch), 0, 0.0).total}


def test_chunks_of_a_list_give_other_heads_than_the_whole_utterance_or_one_chunk(chosen, streaming, tmp_path):
    trained = {"list": heads_of(streaming)["controller.safetensors"]}  # which does not say how it was trained
    for name, chunks in (("whole", {}), ("one", {"chunk_size": 16, "left_context_frames": 32})):
        train(chosen(**chunks), tmp_path / name)
        trained[name] = heads_of(tmp_path / name)["controller.safetensors"]
    assert trained["whole"] != trained["list"] != trained["one"]
    # Before training, and so by the recogniser alone: validation is always with the smallest.
    frozen = {name: dev_records(tmp_path / name)[0].loss for name in ("whole", "one")}
    assert dev_records(streaming)[0].loss == frozen["one"] != frozen["whole"]


def test_validation_has_the_chunks_that_heads_are_to_be_used_with(chosen, streaming, tmp_path):
    used = chosen(**CHUNKS, validate_chunk_size=32, validate_left_context_frames=WHOLE, num_epochs=1)
    train(used, tmp_path / "exp")
    alone = heads_loop(chosen(chunk_size=32), tmp_path / "alone")
    before = dev_records(tmp_path / "exp")[0]
    assert before.loss == alone.validate(alone.frozen).losses != dev_records(streaming)[0].loss


def test_an_interrupted_run_goes_on_to_the_same_bytes(chosen, streaming, tmp_path, monkeypatch):
    run, call = chosen(**CHUNKS), TrainingStep.__call__
    steps = dev_records(streaming)[-1].step
    assert len({run.chunk_plan.drawn(run.seed, number) for number in range(steps)}) > 3
    for stop_at in (1, steps // 2 + 1):

        def interrupted(self, batch, number, lr, stop_at=stop_at):
            if number == stop_at:
                os.kill(os.getpid(), signal.SIGINT)
            return call(self, batch, number, lr)

        monkeypatch.setattr(TrainingStep, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(run, tmp_path / "exp", resume=True)
    monkeypatch.undo()
    train(run, tmp_path / "exp", resume=True)
    assert heads_of(tmp_path / "exp") == heads_of(streaming)


def test_resuming_with_other_chunks_is_refused(chosen, streaming):
    with refused("was begun with other options", "--chunk-size"):
        train(chosen(**{**CHUNKS, "chunk_size": (16, 64, WHOLE)}), streaming, resume=True)
    with refused("was begun with other options", "--validate-chunk-size"):
        train(chosen(**CHUNKS, validate_chunk_size=32), streaming, resume=True)
    with refused("was begun with other options", "--chunk-size 16,32,-1 → 16", "--task not given → de,fr"):
        train(chosen(**{**CHUNKS, "chunk_size": 16}, tasks=("de", "fr")), streaming, resume=True)


def test_the_chunks_are_recorded_and_shown(streaming):
    recorded = {
        "chunk_size": [16, 32, -1],
        "left_context_frames": [32, 64, -1],
        "validate_chunk_size": 16,
        "validate_left_context_frames": 32,
    }
    for task in TASKS:
        file = streaming / "heads" / f"{task}.safetensors"
        assert recorded.items() <= read_head(file).training.items()
        assert '"chunk_size": [16, 32, -1]' in describe(file).facts["training"]
        assert '"validate_chunk_size": 16' in describe(file).facts["training"]
    facts = describe(streaming).facts
    assert (facts["chunk size"], facts["validate left context frames"]) == ("[16, 32, -1]", "32")
    train_again, decode = read_experiment(streaming).commands
    assert "--chunk-size 16,32,-1 --left-context-frames 32,64,-1" in train_again
    assert "--chunk-size 16 --left-context-frames 32" in decode


def test_one_chunk_is_recorded_too_and_nothing_where_there_was_none(chosen):
    assert chosen().chunk_plan.as_json() == {}
    assert chosen(chunk_size=32).chunk_plan.as_json() == {
        "chunk_size": 32,
        "left_context_frames": -1,
        "validate_chunk_size": 32,
        "validate_left_context_frames": -1,
    }


def test_lists_are_read_from_a_configuration_as_they_were_written(chosen, tmp_path):
    written = chosen(**CHUNKS, validate_chunk_size=32, spec_augment=True)
    save_config(written, tmp_path)
    assert load_config(tmp_path) == written


def test_one_head_decodes_in_every_chunk_size(chosen, streaming, tmp_path):
    command = ["decode", "--backbone", chosen().backbone, "--data", chosen().data, "--split", "dev", "--task", "de"]
    command += ["--exp-dir", str(streaming)]
    texts = {}
    for chunks in ((), ("--chunk-size", "-1"), ("--chunk-size", "16", "--left-context-frames", "-1")):
        output = tmp_path / "-".join(("out", *chunks))
        with pytest.raises(SystemExit, match="0"):
            main([*command, *chunks, "--output-dir", str(output)])
        texts[chunks[1:2]] = next(output.glob("recogs-*")).read_text()
    assert texts[()] == texts[("-1",)] != texts[("16",)]
    # Beside those of whole utterances, which masked ones do not overwrite.
    names = {file.name for folder in tmp_path.iterdir() for file in folder.glob("recogs-*")}
    assert names == {"recogs-dev-greedy_search.txt", "recogs-dev-greedy_search-chunk-size-16.txt"}


@pytest.mark.parametrize(
    ("recogniser", "chunks", "said"),
    [
        ("causal", "--chunk-size 16,18,-1", "--chunk-size 18 must be a multiple of 4"),
        ("causal", "--chunk-size 16 --validate-chunk-size 18", "--chunk-size 18 must be a multiple of 4"),
        ("causal", "--left-context-frames 64,128", "it needs --chunk-size"),
        ("plain", "--chunk-size -1,16", "--chunk-size is for causal (streaming-trained) models"),
        ("plain", "--chunk-size -1,16 --validate-chunk-size -1", "--chunk-size is for causal"),
    ],
)
def test_chunks_that_a_recogniser_cannot_have_are_refused(chosen, tmp_path, capfd, recogniser, chunks, said):
    backbone = chosen().backbone if recogniser == "causal" else str(BACKBONE)
    exp_dir = tmp_path / "exp"
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--backbone", backbone, "--data", chosen().data, "--exp-dir", str(exp_dir), *chunks.split()])
    error = capfd.readouterr().err
    assert error.startswith("hra: error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not exp_dir.exists()


def test_the_chunks_of_one_batch_are_as_those_of_a_recogniser_that_always_has_them(causal_recogniser):
    features, lens = torch.randn(2, 200, 80, generator=torch.Generator().manual_seed(0)), torch.tensor([200, 170])
    whole, always = (
        load_backbone(causal_recogniser, BackboneOptions(4, *chunking, device="cpu")) for chunking in ((), (16, 32))
    )
    expected, whole_expected = always.encode(features, lens)[0], whole.encode(features, lens)[0]
    assert torch.equal(whole.encode(features, lens, chunking=Chunking(16, 32))[0], expected)
    assert torch.equal(always.encode(features, lens, chunking=Chunking())[0], whole_expected)
    assert not torch.equal(expected, whole_expected)
    with refused("--chunk-size 18 must be a multiple of 4"):
        whole.encode(features, lens, chunking=Chunking(18))
