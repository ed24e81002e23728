"""Many heads in one file: what comes out of it, how it is served, what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from builders import BACKBONE, TOKENIZER, heads_of, random_adapter, random_features, refused, tiny_backbone
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hra_cli.adapter.head_file import as_dtype, write_head
from hra_cli.adapter.head_pack import HeadPack, write_pack
from hra_cli.adapter.heads_on_disk import serve_heads
from hra_cli.io.tensors import fingerprint

WIDTH = 40
TASKS = ["ann", "bob", "cho", "dan", "eve"]


def packed(folder, kind="linear"):
    """The file of a pack of TASKS, and the adapter that its heads are of."""
    adapter = random_adapter(TASKS, WIDTH, kind)
    heads = [replace(head, other={"created": f"by {head.task}"}) for head in heads_of(adapter, bundled=False)]
    write_pack(folder / "heads.safetensors", heads, adapter.controller.tensors())
    return folder / "heads.safetensors", adapter


def rewritten(file, change):
    """The pack with its tensors and metadata changed by `change`, and its index sealed again: as a stranger may."""
    with safe_open(str(file), "pt") as opened:
        metadata = dict(opened.metadata())
    tensors = load_file(file)
    change(tensors, metadata)
    index = {name: tensor for name, tensor in tensors.items() if name.startswith("index.")}
    metadata["index_fingerprint"] = fingerprint(index)
    save_file(tensors, file, metadata)


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_every_head_comes_out_as_it_went_in(tmp_path, kind):
    file, adapter = packed(tmp_path, kind)
    pack = HeadPack(file)
    assert list(pack.tasks) == TASKS
    for expected in heads_of(adapter, bundled=False):
        found = pack.read(expected.task)
        assert replace(found, tensors={}, other={}) == replace(expected, tensors={})
        assert found.other == {"created": f"by {expected.task}"}
        assert fingerprint(found.tensors) == fingerprint(expected.tensors)
    assert fingerprint(pack.controller().tensors()) == fingerprint(adapter.controller.tensors())
    assert dict(pack.scores()) == {task: {"test": {"wer": 12.5, "words": 80}} for task in TASKS}


def test_a_head_taken_out_of_a_pack_has_the_bytes_of_its_own_file(tmp_path):
    file, adapter = packed(tmp_path)
    head = replace(heads_of(adapter, bundled=False)[2], other={"created": "by cho"})
    write_head(tmp_path / "expected.safetensors", head)
    write_head(tmp_path / "cho.safetensors", HeadPack(file).read("cho"))
    assert (tmp_path / "cho.safetensors").read_bytes() == (tmp_path / "expected.safetensors").read_bytes()


def test_equal_heads_in_any_order_give_equal_bytes(tmp_path):
    file, adapter = packed(tmp_path)
    before = file.read_bytes()
    heads = [replace(head, other={"created": f"by {head.task}"}) for head in heads_of(adapter, bundled=False)]
    write_pack(file, heads[::-1], adapter.controller.tensors())
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_mixed_batches_are_served_from_a_pack(tmp_path, kind):
    file, adapter = packed(tmp_path, kind)
    lazy, backbone = serve_heads(HeadPack(file), BACKBONE, WIDTH, TOKENIZER, max_heads=2), tiny_backbone()
    for tasks in (["ann", "eve", "ann"], ["bob"], ["cho", "bob"], ["dan", "ann"]):
        features, lens = random_features([45 + 7 * n for n in range(len(tasks))])
        with torch.no_grad():
            out, _ = backbone.encode(features, lens, lazy.for_tasks(tasks))
            expected, _ = backbone.encode(features, lens, adapter.for_tasks(tasks))
        assert torch.equal(out, expected)
    with refused(r"no head for task 'evee' in .*heads\.safetensors; did you mean 'eve'"):
        serve_heads(HeadPack(file), BACKBONE, WIDTH, TOKENIZER, ["ann", "evee"])


def test_rounded_heads(tmp_path):
    adapter = random_adapter(TASKS, WIDTH)
    heads = [as_dtype(head, "bfloat16") for head in heads_of(adapter)]
    write_pack(tmp_path / "half.safetensors", heads, heads[0].controller)
    whole, _ = packed(tmp_path)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * whole.stat().st_size
    assert HeadPack(tmp_path / "half.safetensors").read("dan").dtype == "bfloat16"


def test_of_a_pack_with_one_damaged_head_the_others_are_served(tmp_path):
    file, _ = packed(tmp_path)
    rewritten(file, lambda tensors, metadata: tensors["heads.weight"][1].add_(1e-3))
    pack = HeadPack(file)
    with refused("heads.safetensors: task 'bob' is damaged"):
        pack.read("bob")
    assert pack.read("ann").task == "ann"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, metadata: metadata.update(format="hra-head"), "not a file of format hra-heads"),
        (lambda tensors, metadata: metadata.update(format_version="2"), "version 2"),
        (lambda tensors, metadata: metadata.pop("hidden"), "the metadata lack 'hidden'"),
        (lambda tensors, metadata: tensors.pop("index.ends"), "index.ends is missing"),
        (lambda tensors, metadata: tensors.update({"index.ends": torch.tensor([1, 2])}), "index makes no sense"),
        (lambda tensors, metadata: tensors["index.tasks"].fill_(255), "index makes no sense"),
        (lambda tensors, metadata: tensors["heads.bias"].resize_(1, WIDTH), "index makes no sense"),
        (lambda tensors, metadata: tensors["index.tasks"].copy_(as_bytes("../\nbob\ncho\ndan\neve")), "a slash"),
    ],
)
def test_what_is_no_pack(tmp_path, change, message):
    file, _ = packed(tmp_path)
    rewritten(file, change)
    with refused(message, file.name):
        HeadPack(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, metadata: tensors["index.ends"].fill_(1 << 40), "record 4 is damaged"),
        (lambda tensors, metadata: tensors.pop("heads.bias"), "damaged: its contents"),
    ],
)
def test_a_head_that_is_not_there_whole(tmp_path, change, message):
    file, _ = packed(tmp_path)
    rewritten(file, change)
    with refused(message, file.name):
        HeadPack(file).read("eve")


def test_an_index_with_another_bit(tmp_path):
    file, _ = packed(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(b"ann\nbob")] += 1
    file.write_bytes(content)
    with refused("index is not what was written"):
        HeadPack(file)


def test_heads_that_do_not_go_together(tmp_path):
    adapter = random_adapter(TASKS, WIDTH)
    ann, bob, *_ = heads_of(adapter)
    other = random_adapter(["zoe"], WIDTH, seed=5)
    controller, file = adapter.controller.tensors(), tmp_path / "heads.safetensors"
    for heads, message in (
        ([ann, *heads_of(other)], "'ann' and 'zoe' belong to different controllers"),
        ([ann, replace(bob, backbone_fingerprint="d" * 64)], "'bob' belongs to another backbone"),
        ([ann, as_dtype(replace(bob, controller=None), "float16")], "'bob' is float16, that of 'ann' float32"),
        ([], "no heads given"),
    ):
        with refused(message):
            write_pack(file, heads, controller)
    with refused("needs another controller"):
        write_pack(file, [ann], other.controller.tensors())
    with refused("ends in .safetensors"):
        write_pack(tmp_path / "heads", [ann], controller)
    assert not file.exists()


def as_bytes(text):
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def test_a_record_is_json(tmp_path):
    file, _ = packed(tmp_path)
    records = bytes(load_file(file)["index.records"].numpy()).decode()
    first = json.loads(records[: records.index("}{") + 1])
    assert {"training", "scores", "head_fingerprint", "created"} <= first.keys()
