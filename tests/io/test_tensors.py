"""Tensors by name, and files that appear whole or not at all."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from builders import refused
from safetensors import safe_open

from hra_cli.io.files import replacing, write_text
from hra_cli.io.tensors import fingerprint, read_metadata, read_safetensors, write_safetensors

TENSORS = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor([True, False]), "c.d": torch.zeros(0, 4)}
METADATA = {"zeta": "1", "alpha": 'Ä "quoted"\nline', "mid": "", "beta": "2", "9": "3"}


def header_of(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])


def test_what_is_written_is_read(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", TENSORS, METADATA)
    tensors, metadata = read_safetensors(tmp_path / "x.safetensors")
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    with safe_open(tmp_path / "x.safetensors", "pt") as opened:
        assert opened.metadata() == METADATA


def test_metadata_are_sorted_and_bytes_are_equal(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", TENSORS, METADATA)
    content = (tmp_path / "x.safetensors").read_bytes()
    assert list(header_of(content)["__metadata__"]) == ["9", "alpha", "beta", "mid", "zeta"]
    assert int.from_bytes(content[:8], "little") % 8 == 0
    for _ in range(5):
        backwards = [dict(reversed(list(one.items()))) for one in (TENSORS, METADATA)]
        write_safetensors(tmp_path / "y.safetensors", *backwards)
        assert (tmp_path / "y.safetensors").read_bytes() == content


def test_bytes_are_equal_in_another_process(tmp_path):
    script = (
        "import sys, torch, pathlib, hra_cli.io.tensors as t;"
        "t.write_safetensors(pathlib.Path(sys.argv[1]), {'w': torch.ones(3)}, {k: k for k in 'qwertyuiop'})"
    )
    contents = set()
    for seed in ("1", "2"):
        file = tmp_path / f"{seed}.safetensors"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, str(file)], check=True, env=environment)
        contents.add(file.read_bytes())
    assert len(contents) == 1


def test_no_metadata(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", TENSORS, {})
    assert read_safetensors(tmp_path / "x.safetensors")[1] == {}


def test_views_are_written_as_they_look(tmp_path):
    matrix = torch.arange(6.0).view(2, 3).requires_grad_()
    write_safetensors(tmp_path / "x.safetensors", {"t": matrix.t(), "row": matrix[1]}, {})
    tensors, _ = read_safetensors(tmp_path / "x.safetensors")
    assert torch.equal(tensors["t"], matrix.t())
    assert torch.equal(tensors["row"], matrix[1])


def test_tensors_outlive_their_file(tmp_path):
    file = tmp_path / "x.safetensors"
    write_safetensors(file, TENSORS, {})
    tensors, _ = read_safetensors(file)
    with open(file, "r+b") as stream:
        stream.write(b"\xff" * file.stat().st_size)
    assert torch.equal(tensors["b"], TENSORS["b"])


def test_a_file_that_is_none_is_refused(tmp_path):
    with refused("no such file: .*x.safetensors"):
        read_safetensors(tmp_path / "x.safetensors")
    with refused("is a folder, not a file"):
        read_safetensors(tmp_path)
    (tmp_path / "x.safetensors").write_text("hello")
    with refused(r"x\.safetensors is not a safetensors file, or is truncated"):
        read_safetensors(tmp_path / "x.safetensors")


def test_fingerprint_is_independent_of_order_and_layout():
    first = fingerprint(TENSORS)
    assert fingerprint(dict(reversed(list(TENSORS.items())))) == first
    strided = TENSORS["b"].t().contiguous().t()
    assert not strided.is_contiguous()
    assert fingerprint({**TENSORS, "b": strided}) == first
    assert fingerprint({**TENSORS, "b": torch.nn.Parameter(TENSORS["b"])}) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"b": TENSORS["b"].double()},
        {"b": TENSORS["b"].half()},
        {"b": TENSORS["b"].view(3, 2)},
        {"b": TENSORS["b"].view(torch.int32)},
        {"b": torch.nextafter(TENSORS["b"], torch.tensor(9.0))},
        {"b": -TENSORS["b"].neg().abs().neg() * torch.tensor([[-0.0, 1, 1], [1, 1, 1]])},
        {"e": torch.zeros(0)},
        {"c.d": torch.zeros(4, 0)},
    ],
    ids=["float64", "float16", "shape", "dtype of the same bytes", "one ulp", "sign of zero", "one more", "empty"],
)
def test_fingerprint_sees(changed):
    assert fingerprint({**TENSORS, **changed}) != fingerprint(TENSORS)


def test_fingerprint_sees_names_and_missing_tensors():
    renamed = {("B" if name == "b" else name): tensor for name, tensor in TENSORS.items()}
    assert fingerprint(renamed) != fingerprint(TENSORS)
    assert fingerprint({"b": TENSORS["b"]}) != fingerprint(TENSORS)


def test_fingerprint_of_known_tensors():
    """It stands in head files, so it must stay as it is."""
    content = b"a\0I64\x002\0" + bytes([1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255])
    content += b"b\0BF16\x001,1\0" + bytes([0x80, 0x3F])
    content += b"s\0F32\0\0" + bytes([0, 0, 0, 0x40])
    tensors = {
        "s": torch.tensor(2.0),
        "b": torch.ones(1, 1, dtype=torch.bfloat16),
        "a": torch.tensor([1, -1]),
    }
    assert fingerprint(tensors) == hashlib.sha256(content).hexdigest()


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("old")

    def fail():
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "x.jsonl.gz"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
        assert temporary.parent == file.parent
        assert temporary.suffixes[-2:] == [".jsonl", ".gz"]
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["x.jsonl.gz"]


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "x.txt", "Ä")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "Ä".encode()


def write_header(file, entries, numbers):
    header = json.dumps(entries).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(numbers))
    return file


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "U16", "C64", "F4"])
def test_types_that_hra_does_not_read_are_refused_by_name(tmp_path, dtype):
    size = 8 if dtype == "C64" else 2 if dtype == "U16" else 1
    shape = [2] if dtype == "F4" else [1]
    entries = {"head.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    file = write_header(tmp_path / "x.safetensors", entries, size)
    with refused(f"x.safetensors: head.weight is of type {dtype}, which hra does not read"):
        read_safetensors(file)


@pytest.mark.parametrize("shape", [[-1], [2**62, 2**62], [0, 2**64 - 1], ["1"], 1, None])
def test_shapes_that_cannot_be_are_refused(tmp_path, shape):
    file = write_header(tmp_path / "x.safetensors", {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}, 0)
    with refused("x.safetensors is not a safetensors file, or is truncated"):
        read_safetensors(file)


def test_the_metadata_alone_are_read_without_the_numbers(tmp_path):
    entries = {"__metadata__": {"format": "x"}, "a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}
    assert read_metadata(write_header(tmp_path / "x.safetensors", entries, 1)) == {"format": "x"}
