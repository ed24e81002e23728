"""Graphs compute what the recogniser computes, under the names that sherpa-onnx reads, and share its weights."""

import shutil

import numpy as np
import pytest
import torch
from builders import random_features, refused
from safetensors.numpy import load_file

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.data.token_table import token_table
from hra_cli.export import agreement
from hra_cli.export.agreement import Graph, check_encoder
from hra_cli.export.export_config import ExportConfig
from hra_cli.export.export_onnx import export_onnx
from hra_cli.export.export_record import read_record, recogniser_of
from hra_cli.export.shared_weights import SharedWeights

onnx = pytest.importorskip("onnx", reason="needs the extra 'export'")

LENGTHS = [9, 131, 57, 10, 90, 250]
CACHED = ["cached_key", "cached_nonlin_attn", "cached_val1", "cached_val2", "cached_conv1", "cached_conv2"]


@pytest.fixture(scope="module")
def recogniser(whole):
    return recogniser_of(read_record(whole.folder), whole.folder, ["de", "fr"])


def graph_of(made, name):
    return onnx.load_model(made.folder / name, load_external_data=False)


def names(values):
    return [value.name for value in values]


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def encoded(recogniser, lengths, tasks, seed=0):
    """What the recogniser itself gives: projected encoder frames of each utterance."""
    features, lens = random_features(lengths, seed)
    after_layer = recogniser.adapter.for_tasks(tasks) if tasks else None
    with torch.no_grad():
        out, out_lens = recogniser.backbone.encode(features, lens, after_layer)
        out = recogniser.backbone.joiner.encoder_proj(out)
    return features, lens, [row[:length] for row, length in zip(out, out_lens.tolist())]


def farthest(found, expected):
    return max(float((one[: len(other)] - other).abs().max()) for one, other in zip(found, expected))


@pytest.mark.parametrize("task", [None, "de", "fr"])
@pytest.mark.parametrize("lengths", [[9], LENGTHS, [6000]], ids=["shortest", "mixed", "a minute"])
def test_an_encoder_gives_what_the_recogniser_gives(whole, recogniser, task, lengths):
    features, lens, expected = encoded(recogniser, lengths, [task] * len(lengths) if task else [])
    name = f"encoder-{task}.onnx" if task else "encoder.onnx"
    found, found_lens = Graph(whole.folder / name)(features, lens)
    assert found_lens.tolist() == [len(one) for one in expected]
    assert farthest(found, expected) < 1e-4


def test_an_utterance_in_a_batch_is_as_alone(whole):
    graph = Graph(whole.folder / "encoder-de.onnx")
    features, lens = random_features(LENGTHS)
    together, _ = graph(features, lens)
    for row, length in enumerate(LENGTHS):
        alone, _ = graph(features[row : row + 1, :length], lens[row : row + 1])
        assert farthest(together[row : row + 1], alone) < 1e-5


def test_the_encoder_of_any_task_takes_a_head_file_for_every_utterance(whole, recogniser):
    tasks = ["fr", "de", "fr", "de", "de", "fr"]
    features, lens, expected = encoded(recogniser, LENGTHS, tasks)
    files = {task: load_file(whole.heads / f"{task}.safetensors") for task in set(tasks)}
    any_task = graph_of(whole, "encoder-any.onnx")
    assert names(any_task.graph.input)[:2] == ["x", "x_lens"]
    given = [
        torch.from_numpy(
            np.stack([files[task][name] for task in tasks]) if name.startswith("head.") else files["de"][name]
        )
        for name in names(any_task.graph.input)[2:]
    ]
    found, _ = Graph(whole.folder / "encoder-any.onnx")(features, lens, *given)
    assert farthest(found, expected) < 1e-4


def test_names_and_metadata_are_those_that_sherpa_onnx_reads(whole, recogniser):
    for name in ("encoder.onnx", "encoder-de.onnx", "encoder.int8.onnx", "encoder-fr.fp16.onnx"):
        model = graph_of(whole, name)
        assert names(model.graph.input) == ["x", "x_lens"]
        assert names(model.graph.output) == ["encoder_out", "encoder_out_lens"]
        assert metadata(model) == {
            "model_type": "zipformer2",
            "version": "1",
            "model_author": "hra",
            "comment": "non-streaming zipformer2",
        }
    decoder, joiner = graph_of(whole, "decoder.onnx"), graph_of(whole, "joiner.onnx")
    assert (names(decoder.graph.input), names(decoder.graph.output)) == (["y"], ["decoder_out"])
    assert metadata(decoder) == {"context_size": "2", "vocab_size": "30"}
    assert (names(joiner.graph.input), names(joiner.graph.output)) == (["encoder_out", "decoder_out"], ["logit"])
    assert metadata(joiner) == {"joiner_dim": "20"}
    lines = (whole.folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "<blk> 0"
    assert [line.rpartition(" ")[2] for line in lines] == [str(id_) for id_ in range(30)]


def test_tokens_are_icefalls(shared):
    folder = shared / "models" / "zipformer-tts-en"
    tokenizer = load_tokenizer(folder / "bpe.model")
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    assert token_table(pieces) == (folder / "tokens.txt").read_text(encoding="utf-8")


def test_names_and_metadata_of_a_stream(streaming):
    model = graph_of(streaming, "encoder-fr.onnx")
    layers = [f"{name}_{layer}" for layer in range(2) for name in CACHED]
    assert names(model.graph.input) == ["x", *layers, "embed_states", "processed_lens"]
    assert names(model.graph.output) == ["encoder_out", *(f"new_{one}" for one in names(model.graph.input)[1:])]
    assert metadata(model) == {
        "model_type": "zipformer2",
        "version": "1",
        "model_author": "hra",
        "comment": "streaming zipformer2",
        "decode_chunk_len": "32",
        "T": "45",
        "num_encoder_layers": "1,1",
        "encoder_dims": "32,24",
        "cnn_module_kernels": "3,7",
        "left_context_len": "8,32",
        "query_head_dims": "6,6",
        "value_head_dims": "5,5",
        "num_heads": "2,2",
    }


def test_streams_that_began_at_different_times_share_a_batch(streaming):
    recogniser = recogniser_of(read_record(streaming.folder), streaming.folder, ["de", "fr"])
    graph = Graph(streaming.folder / "encoder-fr.onnx")
    features, _ = random_features([45 + 32 * 3] * 2)
    state = list(recogniser.backbone.start(1).tensors())
    alone = []
    for row in range(2):
        outputs, following = [], state
        for chunk in range(4):
            found, *following = graph(features[row : row + 1, 32 * chunk : 32 * chunk + 45], *following)
            outputs.append((found, following))
        alone.append(outputs)
    axes = [1, 1, 1, 1, 0, 0] * 2 + [0, 0]
    before = [torch.cat(pair, axis) for *pair, axis in zip(alone[0][2][1], alone[1][0][1], axes)]
    found, *_ = graph(torch.stack([features[0, 96:141], features[1, 32:77]]), *before)
    assert farthest(found, [alone[0][3][0][0], alone[1][1][0][0]]) < 1e-5


def test_the_weights_are_written_once(whole):
    sizes = {file.name: file.stat().st_size for file in whole.folder.iterdir()}
    assert sizes["backbone.data"] < 4.1 * whole.weights
    assert sizes["backbone.fp16.data"] < 0.6 * sizes["backbone.data"]
    # Heads and controller, 12 · 32 + 2 · 12 and 32 · 12 + 32 numbers, are all that is a task's own.
    assert sizes["encoder-de.onnx"] - sizes["encoder-any.onnx"] < 4 * (12 * 32 + 24 + 32 * 12 + 32) + 500
    for name in ("encoder.onnx", "encoder-de.onnx", "encoder.int8.onnx"):
        places = {
            entry.value
            for tensor in graph_of(whole, name).graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
        assert places == {"backbone.int8.data" if "int8" in name else "backbone.data"}


def test_heads_stay_in_float32_where_weights_have_8_bits(whole):
    tensors = {tensor.name: tensor for tensor in graph_of(whole, "encoder-fr.int8.onnx").graph.initializer}
    head = load_file(whole.heads / "fr.safetensors")
    for name in ("head.weight", "controller.weight"):
        assert np.array_equal(onnx.numpy_helper.to_array(tensors[name]).reshape(head[name].shape), head[name])
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in tensors.values()) > 10


@pytest.mark.parametrize("variant", ["int8", "fp16"])
def test_smaller_graphs_give_nearly_the_same(whole, recogniser, variant):
    features, lens, expected = encoded(recogniser, LENGTHS, ["de"] * len(LENGTHS))
    found, _ = Graph(whole.folder / f"encoder-de.{variant}.onnx")(features, lens)
    distance = max(float((one[: len(other)] - other).norm() / other.norm()) for one, other in zip(found, expected))
    assert distance < (0.3 if variant == "int8" else 0.02)


def test_a_graph_that_differs_is_refused_and_nothing_is_left(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "LARGEST_DIFFERENCE", 0.0)  # nothing is as exact as that
    with refused("differs from the recogniser by", "nothing is written"):
        export_onnx(ExportConfig(whole.backbone, tmp_path / "deep" / "out", no_heads=True))
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_are_found(whole, recogniser, tmp_path):
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    check_encoder(Graph(folder / "encoder.onnx"), True, recogniser.backbone)
    content = bytearray((folder / "backbone.data").read_bytes())
    middle = len(content) // 8 * 4
    content[middle : middle + 4000] = np.full(1000, 0.5, dtype=np.float32).tobytes()
    (folder / "backbone.data").write_bytes(content)
    with refused("encoder.onnx differs from the recogniser"):
        check_encoder(Graph(folder / "encoder.onnx"), True, recogniser.backbone)


def test_equal_tensors_have_one_place(tmp_path):
    from onnx.helper import make_graph, make_model
    from onnx.numpy_helper import from_array

    def model(*arrays):
        return make_model(make_graph([], "g", [], [], [from_array(one, f"w{n}") for n, one in enumerate(arrays)]))

    one, other = np.ones(1000, np.float32), np.zeros(1000, np.float32)
    with open(tmp_path / "w.data", "wb") as file:
        shared = SharedWeights(file, "w.data")
        models = [model(one, other), model(other, one, np.ones(3, np.float32))]
        for each in models:
            shared.take_from(each)
    assert (tmp_path / "w.data").stat().st_size == 4032 + 4000
    onnx.save_model(models[1], tmp_path / "m.onnx")
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_model(tmp_path / "m.onnx").graph.initializer]
    assert [one.tolist() for one in arrays] == [other.tolist(), one.tolist(), [1, 1, 1]]


@pytest.mark.parametrize("name", ["encoder.onnx", "encoder-fr.onnx", "encoder-any.onnx"])
def test_graphs_are_small(whole, name):
    """What they have of numbers of their own are heads, and less."""
    assert (whole.folder / name).stat().st_size < 200_000


def test_a_causal_recogniser_is_exported_for_whole_utterances_too(streaming, tmp_path):
    config = ExportConfig(backbone=streaming.backbone, output=tmp_path / "out", no_heads=True)
    assert export_onnx(config).tasks == []  # it has compared them
    assert names(onnx.load_model(tmp_path / "out" / "encoder.onnx", load_external_data=False).graph.input) == [
        "x",
        "x_lens",
    ]
    assert not list((tmp_path / "out").glob("*any*"))
