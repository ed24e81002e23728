"""Recognisers whose tokens are characters or byte-level BPE: prepared for, trained, decoded, exported and described."""

import dataclasses
import json

import pytest
from builders import save_pt, tiny_backbone, tiny_sizes
from lhotse import CutSet
from recordings import character_tokens, make_cut, train_bbpe, write_wav

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.task_index import load_tasks
from hra_cli.data.token_table import read_token_table, token_table
from hra_cli.report.facts import describe
from hra_cli.scoring.results import read_recogs

from .conftest import UNKNOWN, run

TEXTS = ("你好 世界", "世界你好 ok!", "hello 你好。", "界")


def make_backbone(folder, make):
    """A recogniser of random weights for a tokenizer in `folder`."""
    folder.mkdir()
    make(folder)
    sizes = tiny_sizes(vocab_size=load_tokenizer(folder).vocab_size)
    backbone = tiny_backbone(sizes=dataclasses.replace(sizes, stacks=[sizes.stacks[2], sizes.stacks[0]]))
    backbone.joiner.output_linear.bias[UNKNOWN] = -1e4  # sherpa-onnx never says that
    backbone.joiner.output_linear.bias[0] -= 2.0
    save_pt(backbone, folder / "pretrained.pt")
    return folder


def chinese_characters(folder):
    table = character_tokens(folder, 20)
    tokens = [*read_token_table(table), *"世界你好KL"]
    table.write_text(token_table(tokens), encoding="utf-8")


def chinese_bytes(folder):
    train_bbpe(folder, ["你好 世界 HELLO OK"] * 20 + list("你好世界"), 56)


@pytest.mark.parametrize(
    ("make", "kind", "ref", "units"),
    [
        (chinese_characters, "characters", "世界你好 OK", ["世", "界", "你", "好", "O", "K"]),
        (chinese_bytes, "byte-level sentencepiece", "世界你好 OK", ["世", "界", "你", "好", "OK"]),
    ],
)
def test_from_data_to_sherpa_onnx(tmp_path, make, kind, ref, units):
    backbone = make_backbone(tmp_path / "backbone", make)
    CutSet.from_cuts(
        make_cut(write_wav(tmp_path / "audio" / f"{index}.wav", 0.7 + 0.1 * (index % 4), 16000, seed=index), text)
        for index, text in enumerate(TEXTS * 3)
    ).to_file(tmp_path / "cuts.jsonl.gz")
    data, exp = tmp_path / "data", tmp_path / "exp"
    run(
        "prepare", "cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--output-dir", data, "--num-jobs", 1,
        "--backbone", backbone, "--test-fraction", 0.3,
    )  # fmt: skip
    index = load_tasks(data)
    assert index.skipped == {}
    assert ref in {cut.supervisions[0].text for split in index.splits("ann") for cut in index.cuts("ann", split)}

    common = ("--backbone", backbone, "--data", data, "--device", "cpu")
    run("train", *common, "--exp-dir", exp, "--num-epochs", 1, "--max-duration", 5, "--hidden", 8)
    run("decode", *common, "--exp-dir", exp, "--json", tmp_path / "decoded.json")
    (recogs,) = (exp / "greedy_search").glob("recogs-*")
    found = {one.id: one for one in read_recogs(recogs)}
    refs = {cut.id: cut.supervisions[0].text for cut in index.cuts("ann", "test")}
    assert units in [one.ref for one in found.values()] or ref not in refs.values()
    assert {id_: "".join(one.ref) for id_, one in found.items()} == {
        id_: "".join(text.split()) for id_, text in refs.items()
    }
    assert any(one.hyp for one in found.values())

    run("export-head", "--exp-dir", exp, "--task", "ann", "--output", tmp_path / "ann.safetensors")
    tokenizer = load_tokenizer(backbone)
    assert describe(tmp_path / "ann.safetensors").facts["tokenizer fingerprint"] == tokenizer.fingerprint
    assert describe(backbone).facts["tokenizer"].startswith(f"{kind}, {tokenizer.file}, fingerprint ")
    audio = tmp_path / "audio" / "3.wav"
    command = ("decode", audio, "--backbone", backbone, "--head", tmp_path / "ann.safetensors", "--device", "cpu")
    run(*command, "--format", "json", "--output-dir", tmp_path / "texts")
    one = json.loads((tmp_path / "texts" / "3.json").read_text(encoding="utf-8"))
    ids = [tokenizer.pieces(range(tokenizer.vocab_size)).index(token) for token in one["tokens"]]
    assert one["text"] == " ".join(tokenizer.decode(ids).split())

    pytest.importorskip("sherpa_onnx", reason="needs the extra 'export'")
    run("export-onnx", "--backbone", backbone, "--no-heads", "--output", tmp_path / "onnx")
    assert read_token_table(tmp_path / "onnx" / "tokens.txt") == tokenizer.pieces(range(tokenizer.vocab_size))
    run("check-export", tmp_path / "onnx", "--data", data, "--json", tmp_path / "checked.json")
    checked = json.loads((tmp_path / "checked.json").read_text(encoding="utf-8"))
    # sherpa-onnx finds out by itself that tokens are bytes, and shows those that are half a character.
    for one in checked["sherpa-onnx"]["differing"].values():
        assert make is chinese_bytes
        assert "".join(one["sherpa-onnx"].replace("\ufffd", "").split()) == "".join(one["hra"].split())
    assert checked["hra"]["total"]["words"] == sum(len(one.ref) for one in found.values())
