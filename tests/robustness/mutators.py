"""Ways to damage a file, or to make it hostile. The same bytes and the same seed give the same damage."""

from __future__ import annotations

import copy
import gzip
import io
import json
import pickletools
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

# A file that nothing may create, in the folder that the run works in.
SENTINEL = "was-executed"
Mutator = Callable[[bytes, random.Random], bytes]


def hostile_texts() -> list[str]:
    """What would run, lead elsewhere, or confuse a terminal, a table or a page, if it were taken for more than text."""
    return [
        f"$(touch {SENTINEL})",
        f"`touch {SENTINEL}`",
        f"; touch {SENTINEL} ;",
        f"| touch {SENTINEL} |",
        f"pipe:touch {SENTINEL}",
        f"touch {SENTINEL} |",
        f"x.sph; touch {SENTINEL}",
        f"{{{{touch {SENTINEL}}}}}",
        f"!!python/object/apply:os.system ['touch {SENTINEL}']",
        f"__import__('os').system('touch {SENTINEL}')",
        "../../escaped",
        "/",
        ".",
        "..",
        "/dev/zero",
        "/proc/self/mem",
        "\x1b[31mred\x1b]0;title\x07",
        "[red]x[/b]",
        ":cat:",
        "a\nb",
        "a:\tref=['X']",
        "a\0b",
        "\ud800",
        "\u202egnp.exe",
        "<script>hostile()</script>",
        "'\"><img src=x onerror=hostile()>",
        "x" * 10_000,
        "e\u0301",
        "nan",
        "1e400",
        "",
    ]


# Bytes


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\0"
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64)) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def flip_at_the_start(content: bytes, rng: random.Random) -> bytes:
    """Where headers are."""
    head = flip_bytes(content[:64], rng) if rng.random() < 0.5 else flip_bit(content[:64], rng)
    return head + content[64:]


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((0, 1, len(content) // 2, max(0, len(content) - 1), rng.randrange(len(content) + 1)))]


def delete_chunk(content: bytes, rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def duplicate_chunk(content: bytes, rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:end] + content[start:]


def insert_chunk(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.choice((1, 4, 100))) + content[at:]


def zero_run(content: bytes, rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def set_number(content: bytes, rng: random.Random) -> bytes:
    """A field of 1, 2, 4 or 8 bytes near the start gets a value that numbers in headers should not have."""
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(min(len(content), 160) + 1)
    value = rng.choice((0, 1, 2, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), rng.getrandbits(8 * width)))
    return content[:at] + value.to_bytes(width, rng.choice(("little", "big"))) + content[at + width :]


def append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice((b"\0", b"\n", content, rng.randbytes(100)))


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 4, 64, 1024, len(content))))


BYTES: tuple[Mutator, ...] = (
    flip_bit,
    flip_bytes,
    flip_at_the_start,
    truncate,
    delete_chunk,
    duplicate_chunk,
    insert_chunk,
    zero_run,
    set_number,
    append,
)


# Lines


def shuffle_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def delete_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def duplicate_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b"\n"]
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def hostile_word(content: bytes, rng: random.Random) -> bytes:
    """One word of a text becomes hostile, whatever the format."""
    words = content.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(hostile_texts()).encode("utf-8", "surrogatepass")
    return b" ".join(words)


def hostile_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    lines[rng.randrange(len(lines))] = rng.choice(hostile_texts()).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


LINES: tuple[Mutator, ...] = (shuffle_lines, delete_line, duplicate_line, hostile_word, hostile_line)


# JSON and YAML


def change_value(root: Any, rng: random.Random) -> Any:
    """A copy with one value, key or element changed, removed or added."""
    root = copy.deepcopy(root)
    places = list(_places(root))
    if not places:
        return _strange(root, rng)
    parent, key = rng.choice(places)
    how = rng.random()
    if how < 0.12:
        del parent[key]
    elif how < 0.2 and isinstance(parent, dict):
        parent[rng.choice([*hostile_texts(), str(key).upper(), f"{key}2"])] = parent.pop(key)
    elif how < 0.25 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    elif how < 0.3 and isinstance(parent, dict):
        parent[rng.choice(hostile_texts())] = copy.deepcopy(parent[key])
    else:
        parent[key] = _strange(parent[key], rng)
    return root


def _places(node: Any) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from _places(value)


def _strange(value: Any, rng: random.Random) -> Any:
    """Something in its place: near it, of another type, or hostile."""
    if rng.random() < 0.3:
        return rng.choice(hostile_texts())
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.5:
        near: list[Any] = [value + 1, value - 1, -value, value * 1000, value / 3, str(value), float(value)]
        return rng.choice(near)
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return rng.choice((value.upper(), value[:at] + value[at + 1 :], value[:at] + "\u00e9" + value[at:], value * 2))
    deep: Any = []
    for _ in range(rng.choice((3, 100, 400))):
        deep = [deep]
    strange: list[Any] = [
        None, True, False, 0, -1, 1, 0.5, 10**30, -(10**30), 2**63, 1e308, -0.0, float("nan"), float("inf"),
        [], {}, [None], {"a": 1}, [value], {"": value}, deep, "é" * 300,
    ]  # fmt: skip
    return rng.choice(strange)


def json_value(content: bytes, rng: random.Random) -> bytes:
    return _json(change_value(json.loads(content), rng), rng)


def json_key_twice(content: bytes, rng: random.Random) -> bytes:
    """The first value of the two is another."""
    parts = content.split(b'": ')
    if len(parts) < 2:
        return content
    at = rng.randrange(len(parts) - 1)
    key = parts[at].rsplit(b'"', 1)[-1]
    value = rng.choice((b"null", b"0", b'"x"', b"{}"))
    parts[at] = parts[at][: len(parts[at]) - len(key) - 1] + b'"' + key + b'": ' + value + b', "' + key
    return b'": '.join(parts)


def deep(content: bytes, rng: random.Random) -> bytes:
    """Brackets so deep that whoever follows them by calling itself is out of stack."""
    return rng.choice((b"[", b'{"a":')) * 100_000


def jsonl_value(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = _json(change_value(json.loads(lines[at]), rng), rng)
    return b"\n".join(lines) + b"\n"


def yaml_value(content: bytes, rng: random.Random) -> bytes:
    import yaml

    changed = change_value(yaml.safe_load(content), rng)
    try:
        return yaml.safe_dump(changed, allow_unicode=False).encode("utf-8", "surrogatepass")
    except RecursionError:
        return json.dumps(changed).encode()


def yaml_bomb(content: bytes, rng: random.Random) -> bytes:
    """A few lines that are gigabytes once their aliases are followed, in place of a value."""
    bomb = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 10):
        bomb += b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9))
    return rng.choice((content + bomb, bomb))


def yaml_tag(content: bytes, rng: random.Random) -> bytes:
    """A value that a careless reader of YAML would run."""
    tag = rng.choice((f"!!python/object/apply:os.system ['touch {SENTINEL}']", "!!python/name:os.system", "!!binary x"))
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = f"{lines[at].split(':')[0]}: {tag}"
    return "\n".join(lines).encode() + b"\n"


def _json(value: Any, rng: random.Random) -> bytes:
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


JSON: tuple[Mutator, ...] = (*BYTES, *LINES, *[json_value] * 10, json_key_twice, deep)
JSONL: tuple[Mutator, ...] = (*BYTES, *LINES, *[jsonl_value] * 10, json_key_twice, deep)
YAML: tuple[Mutator, ...] = (*BYTES, *LINES, *[yaml_value] * 10, yaml_bomb, yaml_tag, deep)


def zipped(mutators: Sequence[Mutator]) -> tuple[Mutator, ...]:
    """The mutators for what is within a gzip file, and a few for the gzip file itself."""

    def within(mutator: Mutator) -> Mutator:
        def change(content: bytes, rng: random.Random) -> bytes:
            return gzip.compress(mutator(gzip.decompress(content), rng), mtime=0)

        change.__name__ = f"zipped_{mutator.__name__}"
        return change

    def plain(content: bytes, rng: random.Random) -> bytes:
        return gzip.decompress(content)

    return (*map(within, mutators), flip_bit, flip_bytes, truncate, append, plain)


# Cut manifests


def hostile_source(content: bytes, rng: random.Random) -> bytes:
    """Audio that is read from elsewhere than a file, or a file whose name is a command."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    cut = json.loads(lines[at])
    touch = f"touch {SENTINEL}"
    source = cut["recording"]["sources"][0]
    source["type"] = rng.choice(("command", "command", "url", "file", "memory", "shar", "nonsense"))
    source["source"] = rng.choice(
        (touch, f"{touch}; cat {source['source']}", f"pipe:{touch}", f"file:///{source['source']}", f"$({touch}).sph",
         f";{touch};.sph", f";{touch};.opus", "/dev/zero", "https://localhost:1/x.wav", "")
    )  # fmt: skip
    lines[at] = json.dumps(cut).encode()
    return b"\n".join(lines) + b"\n"


def hostile_features(content: bytes, rng: random.Random) -> bytes:
    """Features in a storage that unpickles, or that runs what its path says."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    cut = json.loads(lines[at])
    features = {
        "type": "kaldi-fbank", "num_frames": 60, "num_features": 80, "frame_shift": 0.01, "sampling_rate": 16000,
        "start": 0.0, "duration": 0.6, "storage_path": f"pipe:touch {SENTINEL}", "storage_key": "x", "channels": 0,
        "recording_id": cut["recording"]["id"], **cut.get("features", {}),
    }  # fmt: skip
    features["storage_type"] = rng.choice(
        ("numpy_files", "numpy_hdf5", "chunked_lilcom_hdf5", "lilcom_files", "lilcom_url", "memory_raw", "kaldiio",
         "memory_lilcom", "memory_npy", "dummy_storage", "shar", "nonsense")
    )  # fmt: skip
    if rng.random() < 0.5:
        features["storage_path"] = rng.choice((f"pipe:touch {SENTINEL}", "https://localhost:1", "/dev/zero", ""))
    cut["features"] = features
    lines[at] = json.dumps(cut).encode()
    return b"\n".join(lines) + b"\n"


CUTS: tuple[Mutator, ...] = (*JSONL, *[hostile_source] * 4, *[hostile_features] * 2)


# safetensors


def safetensors_header(content: bytes, rng: random.Random) -> bytes:
    header, data = _split_safetensors(content)
    return _join_safetensors(change_value(header, rng), data)


def safetensors_metadata(content: bytes, rng: random.Random) -> bytes:
    """One value of the metadata, all of which are text, is another; within JSON where it is JSON."""
    header, data = _split_safetensors(content)
    metadata = header.setdefault("__metadata__", {})
    name = rng.choice(sorted(metadata) or ["format"])
    metadata.setdefault(name, "pt")
    try:
        inner = json.loads(metadata[name])
    except ValueError:
        inner = None
    if isinstance(inner, (dict, list)) and rng.random() < 0.8:
        metadata[name] = json.dumps(change_value(inner, rng))
    else:
        metadata[name] = rng.choice([*hostile_texts(), "0", "-1", "[]", "null", "1" * 30, metadata[name][:-1], "64"])
    return _join_safetensors(header, data)


def safetensors_dtype(content: bytes, rng: random.Random) -> bytes:
    """A tensor of another type, of the same number of bytes or not."""
    header, data = _split_safetensors(content)
    name = rng.choice(sorted(name for name in header if name != "__metadata__"))
    header[name]["dtype"] = rng.choice(("I32", "U32", "F16", "BF16", "F64", "I8", "BOOL", "F8_E4M3", "F8_E5M2", "C64"))
    if header[name]["dtype"] in ("F16", "BF16", "F8_E4M3", "F8_E5M2", "I8", "BOOL") and rng.random() < 0.7:
        factor = 2 if "16" in header[name]["dtype"] else 4
        header[name]["shape"] = [*header[name]["shape"][:-1], (header[name]["shape"] or [1])[-1] * factor]
    return _join_safetensors(header, data)


def safetensors_shape(content: bytes, rng: random.Random) -> bytes:
    header, data = _split_safetensors(content)
    name = rng.choice(sorted(name for name in header if name != "__metadata__"))
    shape = header[name]["shape"]
    header[name]["shape"] = rng.choice((shape[::-1], [1, *shape], shape[1:], [0], [2**40, 2**40], [-1], shape * 2))
    return _join_safetensors(header, data)


def safetensors_not_finite(content: bytes, rng: random.Random) -> bytes:
    """A number of a float32 tensor becomes NaN, infinite or huge."""
    header, data = _split_safetensors(content)
    at = 4 * rng.randrange(max(1, len(data) // 4))
    value = rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", b"\xff\xff\xff\xff"))
    return _join_safetensors(header, data[:at] + value + data[at + 4 :])


def _split_safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def _join_safetensors(header: Any, data: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data


SAFETENSORS: tuple[Mutator, ...] = (
    *BYTES,
    *[safetensors_header] * 4,
    *[safetensors_metadata] * 6,
    *[safetensors_dtype] * 2,
    *[safetensors_shape] * 2,
    *[safetensors_not_finite] * 3,
)


# Pickles


def malicious_pickle() -> bytes:
    """One that runs a command when it is loaded."""
    return f"cos\nsystem\n(S'touch {SENTINEL}'\ntR.".encode()


def pickle_opcode(content: bytes, rng: random.Random) -> bytes:
    """An instruction of the first pickle in `content` is dropped, doubled, replaced, or a call is put before it."""
    try:
        places = [place for _, _, place in pickletools.genops(content) if place is not None]
    except Exception:  # what comes after is no pickle
        return flip_bytes(content, rng)
    index = rng.randrange(len(places))
    start, end = places[index], places[index + 1] if index + 1 < len(places) else len(content)
    one = content[start:end]
    call = malicious_pickle()[:-1]
    other = rng.choice((b"", one * 2, b"0", b"N", b"]", b"}", b"(", b"t", b"R", b"b", b"Q", b"h\xff", b"K\xff", call))
    return content[:start] + other + (b"" if rng.random() < 0.5 else one) + content[end:]


def whole_malicious_pickle(content: bytes, rng: random.Random) -> bytes:
    """In the file's own format, bare or in a zip archive."""
    if content[:2] != b"PK":
        return malicious_pickle() + content[len(malicious_pickle()) :] * rng.randrange(2)
    return _with_entry(content, "data.pkl", lambda pickled: malicious_pickle())


def zip_entry(content: bytes, rng: random.Random) -> bytes:
    """What is in one entry of a zip archive is damaged; its checksum is right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = rng.choice([*archive.namelist(), *[name for name in archive.namelist() if name.endswith(".pkl")] * 20])
    mutator = rng.choice((pickle_opcode, pickle_opcode, flip_bit) if name.endswith(".pkl") else BYTES)
    return _with_entry(content, name, lambda inner: mutator(inner, rng))


def zip_names(content: bytes, rng: random.Random) -> bytes:
    """An entry is left out, has another name, or is there twice."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(entries))
    how = rng.randrange(4)
    if how == 0:
        del entries[at]
    elif how == 1:
        entries[at] = (rng.choice(("../../escaped", "/tmp/escaped", entries[at][0] + "x")), entries[at][1])
    elif how == 2:
        entries.append((entries[at][0].rsplit("/", 1)[0] + "/code/__torch__.py", b"import os\n"))
    else:
        entries.append((entries[at][0].rsplit("/", 1)[0] + "/constants.pkl", malicious_pickle()))
    return _zip(entries)


def _with_entry(content: bytes, wanted: str, change: Callable[[bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    return _zip([(name, change(inner) if name.endswith(wanted) else inner) for name, inner in entries])


def _zip(entries: Sequence[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, inner in entries:
            archive.writestr(zipfile.ZipInfo(name), inner)
    return stream.getvalue()


def huge_tensor(content: bytes, rng: random.Random) -> bytes:
    """A checkpoint of a few bytes whose tensor, all of one number, is 800 GB when it is copied."""
    import torch

    stream = io.BytesIO()
    tensors = {"encoder_embed.conv.0.weight": torch.zeros(1).expand(200_000_000_000)}
    torch.save({"model": tensors}, stream, _use_new_zipfile_serialization=content[:2] == b"PK")
    return stream.getvalue()


def other_content(content: bytes, rng: random.Random) -> bytes:
    """A whole file of torch.save that holds something else."""
    import torch

    strange: list[Any] = [
        {}, [], None, 1.0, "x", torch.zeros(2), {"model": None}, {"model": {}}, {"model": {"a": 1}}, {"model": [1]},
        {"model": {1: torch.zeros(1)}}, {"model_avg": torch.zeros(3)}, {"model": {"a": torch.zeros(2).int()}},
        {"model": {"encoder_embed.conv.0.weight": torch.zeros(2, 3).to_sparse()}},
        {"model": {"encoder_embed.conv.0.weight": torch.zeros(0)}},
        {"model": {"encoder_embed.conv.0.weight": torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)}},
        {"model": {"encoder_embed.conv.0.weight": torch.zeros(3, dtype=torch.complex64)}},
    ]  # fmt: skip
    stream = io.BytesIO()
    torch.save(rng.choice(strange), stream, _use_new_zipfile_serialization=content[:2] == b"PK")
    return stream.getvalue()


def torchscript(content: bytes, rng: random.Random) -> bytes:
    """An archive of TorchScript, whose code creates a file when it is loaded."""
    import torch
    from robustness.torchscript import Hostile

    return bytes(torch.jit.script(Hostile(SENTINEL)).save_to_buffer())


PICKLES: tuple[Mutator, ...] = (*BYTES, *[pickle_opcode] * 6, whole_malicious_pickle, huge_tensor, other_content)
TORCH_ZIPS: tuple[Mutator, ...] = (
    *BYTES,
    *[zip_entry] * 8,
    *[zip_names] * 2,
    whole_malicious_pickle,
    huge_tensor,
    *[other_content] * 2,
    torchscript,
)
