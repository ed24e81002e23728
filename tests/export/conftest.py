"""A recogniser with two layers at different frame rates, heads for it, and what they are exported to."""

import dataclasses
from pathlib import Path

import pytest
from builders import heads_of, random_adapter, save_pt, tiny_backbone, tiny_sizes
from recordings import digits_bpe

from hra_cli.adapter.head_file import write_head
from hra_cli.app import main
from hra_cli.backbone.model import load_backbone
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.export.export_config import ExportConfig
from hra_cli.export.export_onnx import export_onnx

TASKS = ("de", "fr", "o'neil $(x)")  # those of the speech that speech.py makes, and one whose name a shell would run


UNKNOWN = 2  # the token <unk>


@dataclasses.dataclass
class Made:
    """A recogniser in `backbone`, heads in `heads`, and both in `folder`, exported. weights: parameters in it."""

    backbone: Path
    heads: Path
    folder: Path
    config: ExportConfig
    weights: int


def write_recogniser(folder: Path, causal: bool) -> Path:
    """A checkpoint and a bpe.model."""
    sizes = tiny_sizes(causal)
    sizes = dataclasses.replace(sizes, stacks=[sizes.stacks[2], sizes.stacks[0]])
    backbone = tiny_backbone(causal=causal, sizes=sizes)
    backbone.joiner.output_linear.bias[UNKNOWN] = -1e4  # sherpa-onnx never says that
    save_pt(backbone, folder / "pretrained.pt")
    digits_bpe(folder, sizes.vocab_size)
    return folder


def write_heads(folder: Path, backbone: Path, tasks, kind: str = "linear") -> Path:
    """Head files that belong to the recogniser."""
    model = load_backbone(backbone)
    for head in heads_of(random_adapter(tasks, model.width, kind, scale=0.1)):
        belonging = dataclasses.replace(
            head,
            backbone_fingerprint=model.fingerprint,
            tokenizer_fingerprint=load_tokenizer(backbone / "bpe.model").fingerprint,
        )
        write_head(folder / f"{head.task}.safetensors", belonging)
    return folder


def export(folder: Path, causal: bool, kind: str, **options) -> Made:
    pytest.importorskip("onnx", reason="needs the extra 'export'")
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    backbone = write_recogniser(folder / "backbone", causal)
    heads = write_heads(folder / "heads", backbone, TASKS, kind)
    config = ExportConfig(backbone=backbone, output=folder / "exported", heads_dir=heads, **options)
    export_onnx(config)
    model = load_backbone(backbone)
    used = [p for name, p in model.named_parameters() if not name.startswith("simple_")]
    return Made(backbone, heads, folder / "exported", config, sum(p.numel() for p in used))


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Made:
    """For whole utterances, in every variant; linear heads."""
    return export(tmp_path_factory.mktemp("whole"), causal=False, kind="linear", int8=True, fp16=True)


@pytest.fixture(scope="session")
def streaming(tmp_path_factory) -> Made:
    """For streams; FFN heads."""
    return export(tmp_path_factory.mktemp("streaming"), causal=True, kind="ffn", chunk_size=16, left_context_frames=32)


def run(*arguments) -> None:
    """Runs hra in this process, which must end well."""
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert ended.value.code == 0
