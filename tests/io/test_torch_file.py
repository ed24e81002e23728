"""Tensors from files of torch.save, honest ones and others."""

import os
import pickle
import random
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch
from builders import refused

from hra_cli.errors import HraError
from hra_cli.io.tensor_pickle import StoredTensor
from hra_cli.io.torch_file import read_torch_file

EXPORT = r"export the weights with icefall's zipformer/export\.py .*pretrained\.pt"


def all_of(content):
    return {name: value for name, value in content.items() if isinstance(value, StoredTensor)}


def saved(file, **content):
    torch.save(content, file)
    return file


def with_members(file, change):
    """The archive with its members, by their names below the archive's folder, as `change` makes them."""
    with zipfile.ZipFile(file) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{folder}/{name}", content)
    return file


@pytest.fixture
def file(tmp_path):
    return saved(tmp_path / "x.pt", a=torch.arange(6.0).view(2, 3))


def test_what_torch_saves_is_read(tmp_path):
    big = torch.randn(4, 5, 6)
    written = {
        "whole": big,
        "view": big[1:, ::2],
        "transposed": torch.randn(3, 4).t(),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "number": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        **{str(t): torch.tensor([1, 0, 1]).to(t) for t in (torch.float64, torch.float16, torch.bfloat16)},
        **{str(t): torch.tensor([1, 0, 1]).to(t) for t in (torch.int64, torch.int32, torch.int16, torch.int8)},
        **{str(t): torch.tensor([1, 0, 1]).to(t) for t in (torch.uint8, torch.bool)},
    }
    read = read_torch_file(saved(tmp_path / "x.pt", **written), all_of)
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name


def test_settings_beside_the_tensors_do_no_harm(tmp_path):
    content = OrderedDict(
        a=torch.ones(2), size=torch.Size([1]), device=torch.device("cpu"), dtype=torch.float16, raw=b"\xff", no=None,
        number=2**70, real=1.5, text="Ä", yes=True, values=[1, (2, 3, 4, 5), {6: 7}], seen={1, 2}, count=Counter("aab"),
    )  # fmt: skip
    torch.save(content, tmp_path / "x.pt")
    seen = {}

    def choose(found):
        seen.update(found)
        return all_of(found)

    assert torch.equal(read_torch_file(tmp_path / "x.pt", choose)["a"], torch.ones(2))
    assert (seen["number"], seen["real"], seen["text"], seen["yes"]) == (2**70, 1.5, "Ä", True)
    assert seen["values"] == [1, (2, 3, 4, 5), {6: 7}]


def test_only_what_is_chosen_is_read(tmp_path):
    file = with_members(
        saved(tmp_path / "x.pt", a=torch.ones(2), b=torch.ones(3)), lambda members: members.pop("data/1")
    )
    assert read_torch_file(file, lambda content: {"a": content["a"]})["a"].tolist() == [1, 1]
    with refused(r"x\.pt is not a PyTorch checkpoint, or is damaged"):
        read_torch_file(file, all_of)


class Shell:
    """Unpickling it runs a command."""

    def __init__(self, sentinel):
        self.command = f"touch {sentinel}"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_a_command_is_refused_and_nothing_runs(tmp_path, zipped):
    sentinel = tmp_path / "sentinel"
    torch.save({"a": torch.ones(2), "b": Shell(sentinel)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with refused(f"x.pt (holds more than tensors|is a bare pickle).*{EXPORT}"):
        read_torch_file(tmp_path / "x.pt", all_of)
    assert not sentinel.exists()
    with open(tmp_path / "x.pt", "wb") as stream:
        pickle.dump(Shell(sentinel), stream)
    with refused("x.pt is not a PyTorch checkpoint"):
        read_torch_file(tmp_path / "x.pt", all_of)
    assert not sentinel.exists()


class Evil(torch.nn.Module):
    """A TorchScript archive of it makes a file when it is loaded."""

    sentinel: str
    made: torch.Tensor

    def __init__(self, sentinel):
        super().__init__()
        self.sentinel = str(sentinel)
        self.made = torch.zeros(0)

    @torch.jit.export
    def __getstate__(self):
        return self.sentinel, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.sentinel = state[0]
        self.training = state[1]
        self.made = torch.from_file(self.sentinel, True, 4)

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_a_torchscript_archive_is_refused_and_its_code_does_not_run(tmp_path):
    sentinel, file = tmp_path / "sentinel", tmp_path / "pretrained.pt"
    torch.jit.save(torch.jit.script(Evil(sentinel)), str(file))
    torch.jit.load(str(file))
    assert sentinel.exists()  # it is as dangerous as it should be
    sentinel.unlink()
    with refused("is a TorchScript archive, and opening it would run the code in it; export the .*without --jit 1"):
        read_torch_file(file, all_of)
    for before, after in ((b"#!junk\n", b""), (b"PK\x03\x04", b""), (b"", b"PK\x05\x06" + bytes(18))):
        (tmp_path / "other.pt").write_bytes(before + file.read_bytes() + after)
        with refused(r"other\.pt is"):
            read_torch_file(tmp_path / "other.pt", all_of)
    for name in ("constants.pkl", "code/__torch__.py"):
        saved(tmp_path / "x.pt", a=torch.ones(2))
        with zipfile.ZipFile(tmp_path / "x.pt", "a") as archive:
            archive.writestr(f"x/{name}", b"")
        with refused(r"x\.pt is a TorchScript archive"):
            read_torch_file(tmp_path / "x.pt", all_of)
    assert not sentinel.exists()


@pytest.mark.parametrize("strides", ["one number", "no end"])
def test_a_tensor_that_asks_for_800_gigabytes_is_refused_at_once(tmp_path, strides):
    tensor = torch.ones(1).expand(200_000_000_000) if strides == "one number" else torch.ones(1).expand(2**31, 2**31)
    with refused(r"x\.pt is not a PyTorch checkpoint, or is damaged"):
        read_torch_file(saved(tmp_path / "x.pt", a=tensor), all_of)


def test_many_tensors_of_the_same_numbers_are_no_more_than_the_file(tmp_path):
    numbers = torch.ones(10_000)
    with refused(r"or is damaged"):
        read_torch_file(saved(tmp_path / "x.pt", **{str(n): numbers[:] for n in range(50)}), all_of)


def test_a_storage_that_is_shorter_than_its_tensor_is_refused(file):
    with_members(file, lambda members: members.update({"data/0": members["data/0"][:-4]}))
    with refused(r"x\.pt is not a PyTorch checkpoint, or is damaged"):
        read_torch_file(file, all_of)


def test_one_other_bit_in_the_numbers_is_refused(file):
    content = bytearray(file.read_bytes())
    content[content.index(torch.arange(6.0).numpy().tobytes()) + 5] ^= 1
    file.write_bytes(content)
    with refused(r"or is damaged; copy or export it again"):
        read_torch_file(file, all_of)


def test_numbers_from_a_big_endian_machine_are_refused(file):
    with_members(file, lambda members: members.update({"byteorder": b"big"}))
    with refused("big-endian"):
        read_torch_file(file, all_of)


BROKEN = (
    *(b"", b"\x80\x02", b"\x80\x02}"),
    *(instruction + b"." for instruction in (b"", b"0", b"(", b"t", b"1", b"R", b"b", b"s", b"a", b"u", b"e", b"Q")),
    b"\x80\x02h\x05.",  # what was never kept
    b"\x80\x02\x8b\xff\xff\xff\x7f.",  # an integer of two gigabytes
    b"\x80\x02X\xff\xff\xff\xff.",  # a string of four
    b"\x80\x02}r\xff\xff\xff\xff.",  # what is kept as the last of four milliards
    b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",  # a key that is nested deep
    b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",  # a list that is
    b"\x80\x02K\x01K\x02K\x03s.",  # 1[2] = 3
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.",
    b"\x80\x02ctorch\nFloatStorage\nQ.",
    b"\x80\x05\x8c\x05torch\x8c\x06Tensor\x93.",
)


@pytest.mark.parametrize("content", BROKEN, ids=lambda content: repr(content[:12]))
def test_broken_pickles_are_refused(file, content):
    with_members(file, lambda members: members.update({"data.pkl": content}))
    with refused(r"x\.pt"):
        read_torch_file(file, lambda content: content["model"])


def test_damage_anywhere_is_refused_or_changes_nothing(tmp_path):
    numbers = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(3)}
    whole = saved(tmp_path / "x.pt", **numbers).read_bytes()
    pick = random.Random(1)
    read = 0
    for _ in range(1500):
        content = bytearray(whole)
        for _ in range(pick.choice((1, 1, 5))):
            content[pick.randrange(len(content))] = pick.randrange(256)
        if pick.random() < 0.2:
            del content[pick.randrange(len(content)) :]
        (tmp_path / "x.pt").write_bytes(content)
        try:
            found = read_torch_file(tmp_path / "x.pt", all_of)
        except HraError:
            continue
        assert found.keys() == numbers.keys()
        assert all(torch.equal(found[name], numbers[name]) for name in numbers)
        read += 1
    assert read  # padding, for one


def test_a_folder_or_nothing(tmp_path):
    with refused(f"cannot read {tmp_path}: Is a directory"):
        read_torch_file(tmp_path, all_of)
    with refused(r"cannot read .*nowhere\.pt: No such file"):
        read_torch_file(tmp_path / "nowhere.pt", all_of)
