"""A recogniser from the Hugging Face hub, which is a server on this machine here."""

import json
import os
import sys
from pathlib import Path

import pytest
import warm
import yaml
from builders import refused, save_pt, tiny_backbone
from hub_server import Repository, serving
from speech import BACKBONE, hra

from hra_cli.backbone.location import located, recorded
from hra_cli.backbone.model import load_backbone
from hra_cli.io.hub import HubAddress

pytest.importorskip("huggingface_hub")

FIRST, SECOND = "a" * 40, "b" * 40
NEEDED = ["data/lang_bpe_500/bpe.model", "data/lang_bpe_500/tokens.txt", "exp/pretrained.pt"]
# Every address is located and recorded in a process of its own: the library reads its settings when it is imported.
SCRIPT = """
import json, sys
from hra_cli.backbone.location import located, recorded
from hra_cli.errors import HraError
for address in sys.argv[1:]:
    try:
        print(json.dumps([str(located(address)), recorded(address)]))
    except HraError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What lies in a repository of icefall, with a recogniser of a few kilobytes."""
    checkpoint = save_pt(tiny_backbone(), tmp_path_factory.mktemp("tiny") / "pretrained.pt").read_bytes()
    others = ["README.md", "exp/jit_script.pt", "exp/epoch-30.pt", "data/lang_bpe_500/HLG.pt", "test_wavs/1.wav"]
    return {**dict.fromkeys(others, b"not needed"), **dict.fromkeys(NEEDED, b"tokens"), "exp/pretrained.pt": checkpoint}


@pytest.fixture
def hub(files):
    with serving() as hub:
        hub.repositories["k2/zipformer"] = Repository({FIRST: files}, {"main": FIRST, "v1": FIRST, "refs/pr/1": FIRST})
        yield hub


def found(hub, cache, *addresses, **environment):
    """For each of the addresses, [where it is located, what is recorded], or the error's text."""
    done = warm.run(*addresses, code=SCRIPT, env={**hub.environment(cache), **environment})
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_needed_is_fetched_once_and_then_needs_no_network(hub, files, tmp_path):
    [[folder, address]] = found(hub, tmp_path, "hf://k2/zipformer")
    there = {file.relative_to(folder).as_posix(): file for file in Path(folder).rglob("*") if file.is_file()}
    assert sorted(there) == NEEDED
    assert all(file.read_bytes() == files[name] for name, file in there.items())
    assert not [one for one in hub.asked if "jit" in one or "epoch" in one or "HLG" in one or "wav" in one]
    assert address == f"hf://k2/zipformer@{FIRST}"
    assert load_backbone(folder).fingerprint == tiny_backbone_fingerprint(tmp_path)

    hub.asked.clear()
    assert found(hub, tmp_path, address) == [[folder, address]]
    assert hub.asked == []  # a commit is always the same
    names = ["hf://k2/zipformer", "hf:/k2/zipformer", address]  # the second is what pathlib makes of the first
    assert found(hub, tmp_path, *names, HF_HUB_OFFLINE="1") == [[folder, address]] * 3
    assert hub.asked == []
    hub.broken = True
    assert found(hub, tmp_path, *names) == [[folder, address]] * 3
    [refusal] = found(hub, tmp_path, "hf://k2/zipformer@v1", HF_HUB_OFFLINE="1")
    assert refusal.startswith("cannot fetch hf://k2/zipformer@v1, and it is not in the cache ")
    assert "HF_HUB_OFFLINE" in refusal


def tiny_backbone_fingerprint(folder):
    return load_backbone(save_pt(tiny_backbone(), folder / "own" / "pretrained.pt")).fingerprint


def test_a_commit_stays_what_it_is_when_its_branch_goes_on(hub, files, tmp_path):
    [[old, pinned], tagged, draft] = found(
        hub, tmp_path, "hf://k2/zipformer", "hf://k2/zipformer@v1", "hf://k2/zipformer@refs/pr/1"
    )
    assert tagged == draft == [old, pinned]
    hub.repositories["k2/zipformer"].commits[SECOND] = {**files, "exp/pretrained.pt": b"trained for longer"}
    hub.repositories["k2/zipformer"].branches["main"] = SECOND
    [[new, address], again] = found(hub, tmp_path, "hf://k2/zipformer", pinned)
    assert address == f"hf://k2/zipformer@{SECOND}"
    assert (Path(new) / "exp" / "pretrained.pt").read_bytes() == b"trained for longer"
    assert again == [old, pinned]


def test_the_checkpoint_is_the_one_that_a_folder_would_give(hub, tmp_path):
    several = ["exp/epoch-9.pt", "exp/epoch-10.pt", "exp/epoch-10-avg-3.pt", "exp/checkpoint-4000.pt", "bpe.model"]
    hub.repositories["k2/epochs"] = Repository({FIRST: dict.fromkeys(several, b"")}, {"main": FIRST})
    [[folder, _]] = found(hub, tmp_path, "hf://k2/epochs")
    there = [file.relative_to(folder).as_posix() for file in Path(folder).rglob("*") if file.is_file()]
    assert sorted(there) == ["bpe.model", "exp/epoch-10.pt"]


def test_what_cannot_be_had_is_one_line(hub, tmp_path):
    onnx = {"encoder.onnx": b"", "tokens.txt": b""}
    hub.repositories["k2/onnx"] = Repository({FIRST: onnx}, {"main": FIRST})
    hub.repositories["k2/gated"] = Repository(
        hub.repositories["k2/zipformer"].commits, {"main": FIRST}, refusal="GatedRepo"
    )
    expected = {
        "hf://k2/zipformr": "no repository hf://k2/zipformr on the hub; if it is private, log in with `hf auth login`",
        "hf://k2/zipformer@v2": "k2/zipformer has no revision 'v2' on the hub",
        f"hf://k2/zipformer@{SECOND}": f"k2/zipformer has no revision '{SECOND}' on the hub",
        "hf://k2/gated": "hf://k2/gated is gated: ask for access on its page on the hub, then log in with",
        "hf://k2/onnx": "hf://k2/onnx: expected pretrained.pt, model.safetensors or epoch-N.pt there or in exp/; "
        "encoder.onnx: for deployment",
        "hf://k2--1/a": "hf://k2--1/a is no address on the hub: ",
    }
    for message, begin in zip(found(hub, tmp_path, *expected), expected.values(), strict=True):
        assert message.startswith(begin)
        assert "\n" not in message
    hub.broken = True
    [message] = found(hub, tmp_path, "hf://k2/zipformer")
    assert message.startswith(f"cannot fetch hf://k2/zipformer, and it is not in the cache {tmp_path}")
    assert "500" in message
    assert "\n" not in message


def test_a_name_in_a_repository_does_not_lead_out_of_the_cache(hub, files, tmp_path):
    evil = [
        "../pretrained.pt", "/tmp/pretrained.pt", "data/lang_bpe_500/../../../../../bpe.model",
        "data/lang_../../bpe.model", "exp/../../pretrained.pt", "..\\bpe.model", "data/lang_\\..\\..\\x/bpe.model",
    ]  # fmt: skip
    hub.repositories["k2/evil"] = Repository({FIRST: {**dict.fromkeys(evil, b"evil"), **files}}, {"main": FIRST})
    [[folder, _]] = found(hub, tmp_path / "cache", "hf://k2/evil")
    assert not [one for one in hub.asked if ".." in one or "tmp" in one or "%5C" in one]
    assert sorted(file.relative_to(folder).as_posix() for file in Path(folder).rglob("*.*")) == NEEDED
    # Whoever asks for everything gets all but these.
    script = (
        "import sys; from hra_cli.io.hub import HubAddress, fetch; print(fetch(HubAddress.parse(sys.argv[1]), list))"
    )
    done = warm.run("hf://k2/evil", code=script, env=hub.environment(tmp_path / "all"))
    folder = done.stdout.strip()
    assert {file.relative_to(folder).as_posix() for file in Path(folder).rglob("*.*")} == set(files)
    assert sorted(os.listdir(tmp_path)) == ["all", "cache"]


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://k2",
        "hf://k2/a/b",
        "hf://k2/a@",
        "hf://k2/a@../../x",
        "hf://k2/a@x/../y",
        "hf://k2/a@/x",
        "hf://k 2/a",
    ],
)
def test_what_is_no_address_is_refused(text):
    with refused("is no address on the hub; write hf://OWNER/NAME or hf://OWNER/NAME@REVISION", text):
        HubAddress.parse(text)
    with refused("is no address on the hub"):  # a path has lost slashes, as on the command line
        load_backbone(Path(text))


def test_an_address_is_read_as_it_is_written():
    assert HubAddress.parse("hf://k2-fsa/a.b_c@refs/pr/1") == HubAddress("k2-fsa/a.b_c", "refs/pr/1")
    assert HubAddress.parse(Path("hf://k2/a/")) == HubAddress("k2/a", "main")
    for text in ("hf://k2/a", f"hf://k2/a@{FIRST}", "hf://k2/a@v1.0"):
        assert str(HubAddress.parse(text)) == str(HubAddress.parse(Path(text))) == text


def test_without_the_library_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with refused("hf:// needs the package huggingface_hub: pip install -e '.\\[hub\\]'"):
        load_backbone("hf://k2/zipformer")


def test_a_path_is_itself(tmp_path):
    (tmp_path / "link").symlink_to(BACKBONE)
    assert located(tmp_path / "link") == tmp_path / "link"
    assert recorded(tmp_path / "link") == str(BACKBONE.resolve())


def test_an_experiment_on_a_recogniser_of_the_hub_goes_on_without_it(data, tmp_path):
    commit = {"README.md": b"", "bpe.model": (BACKBONE / "bpe.model").read_bytes()}
    commit["model.safetensors"] = (BACKBONE / "model.safetensors").read_bytes()
    exp_dir, wav = tmp_path / "exp", next((data.parent / "speech").rglob("*.wav"))
    train = ["train", "--backbone", "hf://k2/accents", "--data", data, "--exp-dir", exp_dir, "--task", "fr"]
    train += ["--num-epochs", "1", "--hidden", "8", "--rnnt-type", "modified"]
    with serving() as hub:
        env = hub.environment(tmp_path / "cache")
        hub.repositories["k2/accents"] = Repository({FIRST: commit}, {"main": FIRST})
        hra(*train, env=env)
        address = yaml.safe_load((exp_dir / "config.yaml").read_text())["backbone"]
        assert address == f"hf://k2/accents@{FIRST}"
    # The hub is gone.
    hra(*train, "--resume", env=env)
    decoded = hra("decode", wav, "--exp-dir", exp_dir, "--task", "fr", "--backbone", address, env=env)
    assert decoded.stdout.startswith(f"{wav}")
