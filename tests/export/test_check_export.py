"""sherpa-onnx recognises in the exported files what hra recognises."""

import dataclasses
import json
import shutil

import pytest
from builders import refused

from hra_cli.export.check_config import CheckConfig
from hra_cli.export.check_export import check_export
from hra_cli.export.export_record import read_record, write_record

from .conftest import run, write_heads

pytest.importorskip("sherpa_onnx", reason="needs the extra 'export'")


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
def test_whole_utterances_give_the_same_words(whole, data, method):
    checked = check_export(CheckConfig(whole.folder, data, decoding_method=method))
    floats, *_ = checked.sides
    assert [side.name for side in checked.sides] == ["sherpa-onnx", "sherpa-onnx int8", "sherpa-onnx fp16"]
    assert len(floats.utterances) == 12
    assert sum(len(one.hyp) for one in floats.utterances.values()) > 20
    assert checked.differing(floats) == []
    assert floats.scores == checked.hra.scores


def test_a_stream_gives_the_same_words(streaming, data):
    checked = check_export(CheckConfig(streaming.folder, data, tasks=("de",)))
    (floats,) = checked.sides
    assert list(floats.scores.tasks) == ["de"]
    assert sum(len(one.hyp) for one in floats.utterances.values()) > 10
    assert checked.differing(floats) == []


def test_the_frozen_graph_is_checked_too(streaming, data, tmp_path, capfd):
    run("check-export", streaming.folder, "--data", data, "--no-heads", "--json", tmp_path / "c.json")
    assert "sherpa-onnx: 0 of 12 texts differ from hra's" in capfd.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["hra"]["total"] == found["sherpa-onnx"]["total"]


def test_what_is_no_export_or_has_changed_is_refused(whole, data, tmp_path):
    with refused("is no exported folder", tmp_path):
        check_export(CheckConfig(tmp_path, data))
    with refused("has no encoder of task 'x'"):
        check_export(CheckConfig(whole.folder, data, tasks=("x",)))
    with refused("sherpa-onnx has no fast_beam_search"):
        check_export(CheckConfig(whole.folder, data, decoding_method="fast_beam_search"))

    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    for name in ("encoder-de.onnx", "tokens.txt", "backbone.int8.data"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with refused(f"{name} is damaged: it is not what was written"):
            check_export(CheckConfig(folder, data))
        (folder / name).write_bytes(content)
    (folder / "backbone.data").unlink()
    with refused("backbone.data is missing"):
        check_export(CheckConfig(folder, data))
    (folder / "export.json").write_text("{}", encoding="utf-8")
    with refused("export.json is damaged"):
        check_export(CheckConfig(folder, data))


def test_another_head_than_the_exported_one_is_refused(whole, data, tmp_path):
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    heads = write_heads(tmp_path / "heads", whole.backbone, ["fr", "de"])  # de has now what fr had, and fr what de had
    with refused("export.json has changed"):
        (folder / "export.json").write_text((folder / "export.json").read_text().replace('"de"', '"ed"'))
        read_record(folder)
    write_record(folder, dataclasses.replace(read_record(whole.folder), heads_dir=str(heads)))
    assert read_record(folder).heads_dir == str(heads)
    with refused("the head of task '(de|fr)' has changed since"):
        check_export(CheckConfig(folder, data))
