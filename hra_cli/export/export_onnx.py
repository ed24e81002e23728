"""What `hra export-onnx` does: a recogniser and its heads to a folder that sherpa-onnx reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rich.progress import Progress

from hra_cli.adapter.adapter import Adapter
from hra_cli.data.token_table import token_table
from hra_cli.errors import HraError
from hra_cli.export.agreement import Graph, check_decoder, check_encoder, check_joiner
from hra_cli.export.constants import with_constants
from hra_cli.export.export_config import FLOAT32, ExportConfig
from hra_cli.export.export_record import new_record, write_record
from hra_cli.export.folder_guide import folder_guide
from hra_cli.export.graph_files import (
    GUIDE,
    TOKENS,
    decoder_file,
    encoder_file,
    encoder_for_any_file,
    joiner_file,
    weights_file,
)
from hra_cli.export.graph_modules import decoder_module, encoder_module, joiner_module
from hra_cli.export.head_inputs import HeadInputs, adapter_of, constants_of
from hra_cli.export.libraries import import_library
from hra_cli.export.metadata import add_metadata, decoder_metadata, encoder_metadata, joiner_metadata
from hra_cli.export.shared_weights import SharedWeights
from hra_cli.export.tracing import traced
from hra_cli.export.variants import in_variant
from hra_cli.io.files import write_text, writing
from hra_cli.io.new_folder import new_folder
from hra_cli.io.progress import no_progress
from hra_cli.recognition.load import load_recogniser
from hra_cli.recognition.recogniser import Recogniser

if TYPE_CHECKING:
    from onnx import ModelProto

_SEVERAL = 3  # tasks in a batch when the graph of all tasks is checked


@dataclass(frozen=True)
class Exported:
    """The folder, its tasks, and the sizes of its files in bytes by their names."""

    folder: Path
    tasks: list[str]
    sizes: dict[str, int]


@dataclass(frozen=True)
class _Graphs:
    """The graphs of a recogniser with all weights in them. any_task: where there are heads."""

    encoder: ModelProto
    any_task: Optional[ModelProto]
    decoder: ModelProto
    joiner: ModelProto

    def of_all(self) -> list[ModelProto]:
        """Those that are there."""
        return [graph for graph in (self.encoder, self.any_task, self.decoder, self.joiner) if graph is not None]


def export_onnx(config: ExportConfig, progress: Optional[Progress] = None) -> Exported:
    """Writes the folder `config.output`, whole or not at all.

    Every graph is run before the folder appears, and compared with the recogniser. progress: counts graphs.
    Raises HraError for what cannot be exported or written, where something is at `output` already, where a library of
    the extra `export` is missing, and where a graph differs from the recogniser by more than 1e-4.
    """
    import_library("onnx")
    import_library("onnxruntime")
    with new_folder(config.output) as folder:
        recogniser = _load(config)
        adapter = adapter_of(recogniser)
        tasks = adapter.tasks if adapter else []
        _check_names(tasks, config.variants)
        progress = progress or no_progress()
        count = progress.add_task("exporting", total=len(config.variants) * (len(tasks) + 3 + bool(tasks)), note="")

        def done() -> None:
            progress.advance(count)

        graphs = _trace(recogniser, adapter)
        with writing(folder):
            for variant in config.variants:
                _write_graphs(folder, graphs, variant, adapter)
        for variant in config.variants:
            for _ in _checked(folder, variant, recogniser, adapter):
                done()
        tokenizer = recogniser.tokenizer
        write_text(folder / TOKENS, token_table(tokenizer.pieces(range(tokenizer.vocab_size))))
        write_text(folder / GUIDE, folder_guide(config, tasks))
        write_record(folder, new_record(config, recogniser, folder))
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return Exported(config.output, list(tasks), sizes)


def _load(config: ExportConfig) -> Recogniser:
    return load_recogniser(
        config.backbone,
        config.backbone_options,
        exp_dir=config.exp_dir,
        heads_dir=config.heads_dir,
        heads=list(config.heads) or None,
        tasks=list(config.tasks) or None,
        controller=config.controller,
    )


def _check_names(tasks: Sequence[str], variants: Sequence[str]) -> None:
    """Raises HraError where two graphs would have files of one name, as macOS and Windows compare names."""
    names: dict[str, str] = {}
    for variant in variants:
        files = {
            "all tasks": encoder_for_any_file(variant),
            **{f"task '{task}'": encoder_file(variant, task) for task in tasks},
        }
        for what, name in files.items():
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
            other = names.setdefault(key, what)
            if other != what:
                raise HraError(
                    f"the encoders of {other} and of {what} would both be {name}; rename the task in the data"
                )


def _trace(recogniser: Recogniser, adapter: Optional[Adapter]) -> _Graphs:
    backbone = recogniser.backbone
    graphs = _Graphs(
        encoder=traced(encoder_module(backbone)),
        any_task=None if adapter is None else traced(encoder_module(backbone, HeadInputs(adapter))),
        decoder=traced(decoder_module(backbone)),
        joiner=traced(joiner_module(backbone)),
    )
    add_metadata(graphs.encoder, encoder_metadata(backbone))
    if graphs.any_task is not None:
        add_metadata(graphs.any_task, encoder_metadata(backbone))
    add_metadata(graphs.decoder, decoder_metadata(backbone))
    add_metadata(graphs.joiner, joiner_metadata(backbone))
    return graphs


def _write_graphs(folder: Path, whole: _Graphs, variant: str, adapter: Optional[Adapter]) -> None:
    """Writes the graphs in one variant, and the weights that they share."""
    any_task = None if whole.any_task is None else in_variant(whole.any_task, variant)
    graphs = _Graphs(
        in_variant(whole.encoder, variant),
        any_task,
        in_variant(whole.decoder, variant),
        in_variant(whole.joiner, variant),
    )
    name = weights_file(variant)
    with open(folder / name, "wb") as file:
        weights = SharedWeights(file, name)
        for graph in graphs.of_all():
            weights.take_from(graph)
    _write(folder / encoder_file(variant), graphs.encoder)
    _write(folder / decoder_file(variant), graphs.decoder)
    _write(folder / joiner_file(variant), graphs.joiner)
    if any_task is not None and adapter is not None:
        _write(folder / encoder_for_any_file(variant), any_task)
        for task in adapter.tasks:
            _write(folder / encoder_file(variant, task), with_constants(any_task, constants_of(adapter, task)))


def _write(file: Path, graph: ModelProto) -> None:
    file.write_bytes(graph.SerializeToString(deterministic=True))


def _checked(folder: Path, variant: str, recogniser: Recogniser, adapter: Optional[Adapter]) -> Iterator[str]:
    """Runs every graph that was written, and yields its name. Raises HraError for one that is wrong."""
    backbone, exact = recogniser.backbone, variant == FLOAT32

    def graph(name: str) -> Graph:
        return Graph(folder / name)

    check_decoder(graph(decoder_file(variant)), exact, backbone)
    yield decoder_file(variant)
    check_joiner(graph(joiner_file(variant)), exact, backbone)
    yield joiner_file(variant)
    check_encoder(graph(encoder_file(variant)), exact, backbone)
    yield encoder_file(variant)
    if adapter is not None:
        check_encoder(graph(encoder_for_any_file(variant)), exact, backbone, adapter, adapter.tasks[:_SEVERAL])
        yield encoder_for_any_file(variant)
        for task in adapter.tasks:
            check_encoder(graph(encoder_file(variant, task)), exact, backbone, adapter, [task])
            yield encoder_file(variant, task)
