"""Decoding prepared data on a cluster."""

import pytest
from builders import refused
from speech import BACKBONE, hra

from hra_cli.recognition import clustered
from hra_cli.recognition.decode import decode_data
from hra_cli.recognition.decode_config import DecodeConfig


def test_a_cluster_recognises_what_this_process_does(data, experiment, tmp_path):
    pytest.importorskip("distributed")
    command = ["decode", "--backbone", BACKBONE, "--data", data, "--exp-dir", experiment, "--max-duration", 5]
    for name, options in (("here", ()), ("there", ("--cluster", "local:2"))):
        hra(*command, "--output-dir", tmp_path / name, *options)
    for file in (tmp_path / "here").glob("recogs-*"):
        assert (tmp_path / "there" / file.name).read_bytes() == file.read_bytes()


def test_shards_in_order(data, experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(clustered, "BATCHES_PER_JOB", 1)
    config = DecodeConfig(BACKBONE, data, exp_dir=experiment, output_dir=tmp_path, max_duration=5.0, tasks=("fr",))
    shards = []

    def note(config, tasks, cuts):
        shards.append(len(cuts))
        return decode(config, tasks, cuts)

    decode = clustered._decode_shard
    monkeypatch.setattr(clustered, "_decode_shard", note)
    monkeypatch.setattr(clustered, "cluster_executor", here)
    here_alone = decode_data(config)
    there = decode_data(DecodeConfig(**{**vars(config), "cluster": "local:1"}))
    assert there.decoded.utterances == here_alone.decoded.utterances
    assert len(shards) > 1
    assert sum(shards) == len(there.decoded.utterances)


def here(cluster):
    from hra_cli.io.cluster import cluster_executor

    return cluster_executor(None)


@pytest.mark.parametrize(
    "changes", [{"data": None, "audio": ("a.wav",)}, {"streaming": True}, {"data": None, "microphone": True}]
)
def test_a_cluster_is_for_whole_utterances_of_prepared_data(data, changes):
    with refused("--cluster decodes whole utterances of prepared data"):
        DecodeConfig(**{"backbone": BACKBONE, "data": data, "no_heads": True, "cluster": "local:1", **changes})
