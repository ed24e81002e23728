"""Head files: what is in them, what comes back, what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from builders import (
    BACKBONE,
    TOKENIZER,
    heads_of,
    random_adapter,
    random_features,
    refused,
    relative_error,
    tiny_backbone,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_file import (
    Head,
    adapter_from_heads,
    as_dtype,
    controller_fingerprint,
    read_controller,
    read_head,
    write_controller,
    write_head,
)
from hra_cli.errors import HraError

WIDTH, HIDDEN = 40, 12
TASKS = ["ann", "bob"]


def make_head(kind="linear", bundled=True, **changes):
    return replace(heads_of(random_adapter(TASKS, WIDTH, kind), bundled)[0], **changes)


def rewrite(source, target, metadata=(), tensors=(), without=("head_fingerprint",)):
    """A copy of a head file with other metadata or tensors, as another program would write it: not sealed."""
    with safe_open(source, "pt") as opened:
        kept = {**opened.metadata(), **dict(metadata)}
    all_tensors = {**load_file(source), **dict(tensors)}
    save_file(
        {name: tensor for name, tensor in all_tensors.items() if name not in without},
        target,
        metadata={key: value for key, value in kept.items() if key not in without},
    )
    return target


@pytest.fixture
def file(tmp_path):
    write_head(tmp_path / "ann.safetensors", make_head())
    return tmp_path / "ann.safetensors"


@pytest.mark.parametrize("bundled", [True, False])
@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_what_is_written_is_read(tmp_path, kind, bundled):
    head = make_head(kind, bundled)
    write_head(tmp_path / "heads" / "ann.safetensors", head)
    again = read_head(tmp_path / "heads" / "ann.safetensors")
    for field in Head.__dataclass_fields__:
        if field not in ("tensors", "controller"):
            assert getattr(again, field) == getattr(head, field), field
    for read, written in ((again.tensors, head.tensors), (again.controller or {}, head.controller or {})):
        assert read.keys() == written.keys()
        assert all(torch.equal(read[name], written[name]) for name in written)
    assert (again.controller is not None) == bundled
    assert again.dtype == "float32"
    assert again.num_parameters == (WIDTH * HIDDEN + WIDTH if kind == "linear" else 6 * HIDDEN + 6 + WIDTH * 6 + WIDTH)


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_names_in_the_file(tmp_path, kind):
    write_head(tmp_path / "ann.safetensors", make_head(kind))
    with safe_open(tmp_path / "ann.safetensors", "pt") as opened:
        metadata = opened.metadata()
        names = set(opened.keys())
    own = {
        "linear": {"head.weight", "head.bias"},
        "ffn": {"head.in.weight", "head.in.bias", "head.out.weight", "head.out.bias"},
    }[kind]
    assert names == own | {"controller.weight", "controller.recurrent", "controller.bias"}
    assert {
        "format": "hra-head",
        "format_version": "1",
        "task": "ann",
        "head": kind,
        "width": "40",
        "hidden": "12",
        "inner": "0" if kind == "linear" else "6",
        "backbone_fingerprint": BACKBONE,
        "tokenizer_fingerprint": TOKENIZER,
    }.items() <= metadata.items()
    assert {"controller_fingerprint", "hra_version", "training", "scores"} <= metadata.keys()
    assert json.loads(metadata["training"]) == {"method": "joint", "seed": 1, "steps": 120}
    assert json.loads(metadata["scores"]) == {"test": {"wer": 12.5, "words": 80}}


def test_the_file_holds_metadata_and_numbers_and_nothing_else(file):
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__")
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert spans[0][0] == 0
    assert all(before[1] == after[0] for before, after in zip(spans, spans[1:]))
    assert 8 + size + spans[-1][1] == len(content)
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_equal_heads_give_equal_bytes(tmp_path, kind):
    head = make_head(kind, other={"zeta": "1", "alpha": "2"})
    write_head(tmp_path / "1.safetensors", head)
    shuffled = replace(
        head,
        tensors=dict(reversed(list(head.tensors.items()))),
        training=dict(reversed(list(head.training.items()))),
        other=dict(reversed(list(head.other.items()))),
    )
    write_head(tmp_path / "2.safetensors", shuffled)
    write_head(tmp_path / "3.safetensors", read_head(tmp_path / "1.safetensors"))
    first = (tmp_path / "1.safetensors").read_bytes()
    assert (tmp_path / "2.safetensors").read_bytes() == first
    assert (tmp_path / "3.safetensors").read_bytes() == first


def test_unknown_metadata_are_kept(tmp_path, file):
    source = rewrite(file, tmp_path / "tagged.safetensors", {"licence": "CC0", "note": "Ä long\nnote"})
    head = read_head(source)
    assert head.other == {"licence": "CC0", "note": "Ä long\nnote"}
    write_head(tmp_path / "again.safetensors", as_dtype(head, "float16"))
    with safe_open(tmp_path / "again.safetensors", "pt") as opened:
        assert opened.metadata()["licence"] == "CC0"
        assert opened.metadata()["note"] == "Ä long\nnote"


def test_a_head_serves_as_the_adapter_it_came_from(tmp_path):
    backbone = tiny_backbone()
    for kind in ("linear", "ffn"):
        adapter = random_adapter(TASKS, WIDTH, kind)
        heads = []
        for head in heads_of(adapter):
            write_head(tmp_path / f"{kind}-{head.task}.safetensors", head)
            heads.append(read_head(tmp_path / f"{kind}-{head.task}.safetensors"))
        served = adapter_from_heads(heads[::-1], BACKBONE, WIDTH, TOKENIZER)
        assert served.tasks == ["bob", "ann"]
        assert not any(parameter.requires_grad for parameter in served.parameters())
        features, lens = random_features([60, 45])
        with torch.no_grad():
            expected, _ = backbone.encode(features, lens, adapter.for_tasks(TASKS))
            out, _ = backbone.encode(features, lens, served.for_tasks(TASKS))
        assert torch.equal(out, expected)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_half_precision(tmp_path, kind, dtype, bits):
    head = make_head(kind)
    write_head(tmp_path / "whole.safetensors", head)
    write_head(tmp_path / "half.safetensors", as_dtype(head, dtype))
    half = read_head(tmp_path / "half.safetensors")
    assert half.dtype == dtype
    assert {tensor.dtype for tensor in load_file(tmp_path / "half.safetensors").values()} == {getattr(torch, dtype)}
    saved = (tmp_path / "whole.safetensors").stat().st_size - (tmp_path / "half.safetensors").stat().st_size
    numbers = head.num_parameters + sum(tensor.numel() for tensor in head.controller.values())
    assert abs(saved - 2 * numbers) < 100
    for name, tensor in head.tensors.items():
        torch.testing.assert_close(half.tensors[name].float(), tensor, rtol=2.0**-bits, atol=1e-7)
    # The rounded controller is another one: heads of both cannot be mixed, and the rounded file works by itself.
    assert half.controller_fingerprint != head.controller_fingerprint
    adapter = adapter_from_heads([half], BACKBONE, WIDTH)
    assert {parameter.dtype for parameter in adapter.parameters()} == {torch.float32}
    assert as_dtype(half, dtype) is half
    without = as_dtype(make_head(kind, bundled=False), dtype)
    assert without.controller_fingerprint == head.controller_fingerprint


def test_numbers_that_do_not_fit_are_refused():
    head = make_head()
    head.tensors["head.bias"] = head.tensors["head.bias"] + 1e6
    with refused("head.bias of task 'ann' does not fit float16; use bfloat16 or float32"):
        as_dtype(head, "float16")
    assert as_dtype(head, "bfloat16").dtype == "bfloat16"
    with refused("no such dtype: 'float8'; known: float32, float16, bfloat16"):
        as_dtype(head, "float8")


def test_a_controllers_own_file(tmp_path):
    controller = random_adapter(TASKS, WIDTH).controller
    write_controller(tmp_path / "controller.safetensors", controller, BACKBONE)
    again = read_controller(tmp_path / "controller.safetensors", BACKBONE)
    assert controller_fingerprint(again.tensors()) == controller_fingerprint(controller.tensors())
    with safe_open(tmp_path / "controller.safetensors", "pt") as opened:
        assert opened.metadata()["controller_fingerprint"] == controller_fingerprint(controller.tensors())
    with refused("is not a file of format hra-head"):
        read_head(tmp_path / "controller.safetensors")
    with refused("belongs to another backbone"):
        read_controller(tmp_path / "controller.safetensors", "0" * 64)


def test_the_controller_of_a_head_file(tmp_path, file):
    controller = read_controller(file, read_head(file).backbone_fingerprint)
    assert controller_fingerprint(controller.tensors()) == read_head(file).controller_fingerprint
    write_head(tmp_path / "bare.safetensors", make_head(bundled=False))
    with refused("this head has no controller; export it without --no-controller"):
        read_controller(tmp_path / "bare.safetensors", BACKBONE)


def test_a_later_format_is_refused(tmp_path, file):
    with refused(r"hra-head version 7, .* reads version 1; it needs an hra that reads version 7"):
        read_head(rewrite(file, tmp_path / "later.safetensors", {"format_version": "7"}))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("format", r"not a file of format hra-head \(its format: none\)"),
        ("format_version", "hra-head version none"),
        ("task", "metadata lack 'task'"),
        ("width", "metadata lack 'width'"),
        ("backbone_fingerprint", "metadata lack 'backbone_fingerprint'"),
    ],
)
def test_missing_metadata_are_refused(tmp_path, file, key, message):
    with refused(message):
        read_head(rewrite(file, tmp_path / "less.safetensors", without=[key, "head_fingerprint"]))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"width": "wide"}, r"the head's metadata are damaged \(width: 'wide'\); copy or export it again"),
        *(({"hidden": text}, "metadata are damaged") for text in ("0", "-12", "１２", " 12", "1_2", "9" * 5000, "")),
        ({"inner": "3"}, r"metadata are damaged \(inner: '3'\)"),
        ({"backbone_fingerprint": "B" * 64}, "metadata are damaged"),
        ({"task": "../../escaped"}, "the task name '../../escaped' contains a slash"),
        ({"task": ""}, "the task name '' is empty"),
        ({"training": "{"}, "wrong.safetensors: 'training' is damaged: .*; copy or export it again"),
        ({"training": "[1]"}, "'training' is damaged"),
        ({"scores": "null"}, "'scores' is damaged"),
        *(({"scores": text}, "damaged") for text in ('{"words": "x"}', '{"words": 1e999}', '{"wer_after": NaN}')),
        ({"format_version": "1\n2\n" * 500}, "hra-head version 1 2"),
        ({"head": "conv"}, "unknown kind of head 'conv'; this version of hra knows linear and ffn"),
        ({"head": "ffn", "inner": "6"}, r"the tensor head\.bias is not expected"),
        ({"width": "41"}, r"head\.weight has shape \(40, 12\), expected \(41, 12\)"),
        ({"controller_fingerprint": "0" * 64}, "the bundled controller is not the one the head names"),
    ],
)
def test_wrong_metadata_are_refused(tmp_path, file, metadata, message):
    with refused(message):
        read_head(rewrite(file, tmp_path / "wrong.safetensors", metadata))


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    save_file({"head.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    for read in (read_head, lambda path: read_controller(path, BACKBONE)):
        with refused(r"other\.safetensors is not a file of format hra-.* \(its format: none\)"):
            read(tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "controller.recurrent"])
def test_a_missing_tensor_is_refused(tmp_path, file, name):
    with refused(f"the tensor {name} is missing"):
        read_head(rewrite(file, tmp_path / "less.safetensors", without=[name, "head_fingerprint"]))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("head.weight", (40, 13)), ("head.weight", (480,)), ("head.bias", (1, 40)), ("controller.weight", (40, 12))],
)
def test_a_wrong_shape_is_refused(tmp_path, file, name, shape):
    with refused(rf"{name} has shape \({', '.join(map(str, shape))},?\), expected"):
        read_head(rewrite(file, tmp_path / "wrong.safetensors", tensors={name: torch.zeros(shape)}))


def test_an_additional_tensor_is_refused(tmp_path, file):
    for name in ("head.in.bias", "controller.gate"):
        with refused(f"the tensor {name} is not expected"):
            read_head(rewrite(file, tmp_path / "more.safetensors", tensors={name: torch.zeros(6)}))


def bits(content, count=150):
    """Copies of a file's bytes, each with another bit flipped."""
    for place in range(0, 8 * len(content), 8 * len(content) // count):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_one_other_bit_anywhere_in_a_head_is_refused_or_changes_nothing(tmp_path, kind):
    head = make_head(kind)
    write_head(tmp_path / "ann.safetensors", head)
    whole = (tmp_path / "ann.safetensors").read_bytes()
    numbers = whole.index(head.tensors["head.weight" if kind == "linear" else "head.in.weight"].numpy().tobytes())
    for content in bits(whole[numbers:]):
        (tmp_path / "ann.safetensors").write_bytes(whole[:numbers] + content)
        with refused("is damaged: its contents are not what was written; copy or export it again|has numbers that"):
            read_head(tmp_path / "ann.safetensors")
    unnoticed = 0
    for content in bits(whole[:numbers]):
        (tmp_path / "ann.safetensors").write_bytes(content + whole[numbers:])
        try:
            again = read_head(tmp_path / "ann.safetensors")
        except HraError:
            continue
        unnoticed += 1  # the version that wrote it, spaces, a key that is no longer known
        assert replace(again, tensors={}, controller=None, other={}) == replace(head, tensors={}, controller=None)
    assert unnoticed < 50


def test_a_head_that_is_not_sealed_is_read_and_is_sealed_when_it_is_written_again(tmp_path, file):
    old = rewrite(file, tmp_path / "old.safetensors")
    assert "head_fingerprint" not in safe_open(old, "pt").metadata()
    write_head(tmp_path / "again.safetensors", read_head(old))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()
    write_head(tmp_path / "half.safetensors", as_dtype(read_head(old), "float16"))
    assert read_head(tmp_path / "half.safetensors").dtype == "float16"


def test_metadata_of_other_programs_do_not_break_the_seal(tmp_path, file):
    head = read_head(rewrite(file, tmp_path / "tagged.safetensors", {"licence": "CC0"}, without=()))
    assert head.other == {"licence": "CC0"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bias: bias * float("nan"), "head.bias has numbers that are not finite"),
        (lambda bias: bias + float("-inf"), "head.bias has numbers that are not finite"),
        (lambda bias: bias.int(), "head.bias is of type int32, which parameters cannot have"),
        (lambda bias: bias.double(), "head.bias is of type float64"),
        (lambda bias: bias > 0, "head.bias is of type bool"),
    ],
)
def test_parameters_that_are_no_finite_floats_are_refused(tmp_path, file, change, message):
    bias = change(load_file(file)["head.bias"])
    with refused(f"wrong.safetensors: {message}.*; copy or export it again"):
        read_head(rewrite(file, tmp_path / "wrong.safetensors", tensors={"head.bias": bias}))


def test_large_numbers_are_no_infinite_ones(tmp_path):
    head = make_head()
    head.tensors["head.bias"] = torch.full((WIDTH,), 3e38)  # their sum is infinite
    write_head(tmp_path / "ann.safetensors", head)
    assert torch.equal(read_head(tmp_path / "ann.safetensors").tensors["head.bias"], head.tensors["head.bias"])


def test_what_is_not_finite_is_never_written(tmp_path):
    head = make_head()
    head.tensors["head.weight"][3, 4] = float("nan")
    with refused("the head of task 'ann' is not written: head.weight has numbers that are not finite; .*lower --lr"):
        write_head(tmp_path / "ann.safetensors", head)
    controller = Controller(WIDTH, HIDDEN)
    torch.nn.init.constant_(controller.bias, float("inf"))
    with refused("the controller is not written: controller.bias has numbers that are not finite; .*lower --lr"):
        write_controller(tmp_path / "controller.safetensors", controller, BACKBONE)
    assert not list(tmp_path.iterdir())


def test_a_controller_that_is_not_what_was_written_is_refused(tmp_path):
    file = tmp_path / "controller.safetensors"
    write_controller(file, random_adapter(TASKS, WIDTH).controller, BACKBONE)
    whole = file.read_bytes()
    for content in bits(whole[-4 * HIDDEN * WIDTH :]):
        file.write_bytes(whole[: -4 * HIDDEN * WIDTH] + content)
        with refused("is damaged: its contents are not what was written|has numbers that are not finite"):
            read_controller(file, BACKBONE)
    file.write_bytes(whole)
    for tensors, message in (
        ({"controller.weight": torch.zeros(0, WIDTH)}, "controller.weight is empty"),
        ({"controller.weight": torch.zeros(HIDDEN, WIDTH, dtype=torch.int32)}, "controller.weight is of type int32"),
        ({"other": torch.zeros(2)}, "the tensor other is not expected"),
    ):
        with refused(message):
            read_controller(rewrite(file, tmp_path / "wrong.safetensors", tensors=tensors), BACKBONE)
    for key in ("backbone_fingerprint", "controller_fingerprint"):
        with refused(f"the metadata lack '{key}'"):
            read_controller(rewrite(file, tmp_path / "less.safetensors", without=[key]), BACKBONE)


def test_one_other_bit_in_the_controller_is_refused(tmp_path, file):
    recurrent = load_file(file)["controller.recurrent"]
    recurrent.view(torch.int32)[2] ^= 1
    with refused("the bundled controller is not the one the head names"):
        read_head(rewrite(file, tmp_path / "bit.safetensors", tensors={"controller.recurrent": recurrent}))


def test_a_damaged_or_missing_file_is_refused(file):
    whole = file.read_bytes()
    for content in (b"", whole[:7], whole[:100], whole[: len(whole) // 2], whole[:-1], b"x" * 300):
        file.write_bytes(content)
        for read in (read_head, lambda path: read_controller(path, BACKBONE)):
            with refused("is not a safetensors file, or is truncated"):
                read(file)
    file.unlink()
    with refused("no such file: .*ann"):
        read_head(file)


def test_a_pickle_is_refused(tmp_path):
    torch.save({"head.weight": torch.zeros(2)}, tmp_path / "ann.safetensors")
    with refused("is not a safetensors file"):
        read_head(tmp_path / "ann.safetensors")


def test_a_head_of_another_recogniser_is_refused():
    head = make_head()
    with refused("'ann' belongs to another backbone .*bbbbbbbbbbbb….*dddddddddddd….*use the recogniser"):
        adapter_from_heads([head], "d" * 64, WIDTH)
    with refused("'ann' has width 40, the backbone 41"):
        adapter_from_heads([head], BACKBONE, 41)
    with refused("'ann' was trained with another tokenizer"):
        adapter_from_heads([head], BACKBONE, WIDTH, "d" * 64)
    with refused("no heads given"):
        adapter_from_heads([], BACKBONE, WIDTH)


def test_a_head_without_its_controller_is_refused():
    adapter = random_adapter(TASKS, WIDTH)
    bare = heads_of(adapter, bundled=False)
    with refused("'ann' needs the controller [0-9a-f]{12}… and none is there; .*--no-controller"):
        adapter_from_heads(bare, BACKBONE, WIDTH)
    other = Controller(WIDTH, HIDDEN, torch.Generator().manual_seed(9))
    with refused("'ann' needs the controller [0-9a-f]{12}…, the one given is [0-9a-f]{12}…"):
        adapter_from_heads(bare, BACKBONE, WIDTH, controller=other)
    served = adapter_from_heads(bare, BACKBONE, WIDTH, controller=adapter.controller)
    assert torch.equal(served.controller.weight, adapter.controller.weight)
    # One bundled controller is enough for all the heads that name it.
    served = adapter_from_heads([bare[0], heads_of(adapter)[1]], BACKBONE, WIDTH)
    assert torch.equal(served.controller.weight, adapter.controller.weight)


def test_heads_that_do_not_go_together_are_refused():
    ann, bob = heads_of(random_adapter(TASKS, WIDTH))
    stranger = heads_of(random_adapter(["cho"], WIDTH, seed=5))[0]
    with refused("'ann' and 'cho' belong to different controllers; use them one at a time"):
        adapter_from_heads([ann, bob, stranger], BACKBONE, WIDTH)
    with refused("two heads for task 'ann'; give one"):
        adapter_from_heads([ann, bob, replace(bob, task="ann")], BACKBONE, WIDTH)
    controller = random_adapter(TASKS, WIDTH).controller
    other_kind = random_adapter(["dan"], WIDTH, "ffn")
    other_kind.controller.load_state_dict(controller.state_dict())
    ffn = heads_of(other_kind)[0]
    with refused(r"'ann' \(linear, .*'dan' \(ffn, hidden 12, inner 6\) cannot be used together"):
        adapter_from_heads([ann, ffn], BACKBONE, WIDTH)
    assert adapter_from_heads([ffn], BACKBONE, WIDTH).tasks == ["dan"]


def test_rounded_heads_stay_near_the_whole_ones():
    backbone = tiny_backbone()
    head = make_head()
    features, lens = random_features([60])
    outs = []
    for dtype in ("float32", "float16", "bfloat16"):
        adapter = adapter_from_heads([as_dtype(head, dtype)], BACKBONE, WIDTH)
        outs.append(backbone.encode(features, lens, adapter.for_tasks(["ann"]))[0])
    assert 0 < relative_error(outs[1], outs[0]) < 2e-3
    assert relative_error(outs[1], outs[0]) < relative_error(outs[2], outs[0]) < 2e-2
