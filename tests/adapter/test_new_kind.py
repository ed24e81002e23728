"""A third kind of head is a class and an entry in the registry: everything else takes it as it comes."""

import pytest
import torch
from speech import BACKBONE, TASKS, config

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.head_file import read_head
from hra_cli.adapter.head_kinds import KINDS, HeadKind
from hra_cli.adapter.heads import HeadBank, project
from hra_cli.baselines.methods import parse_method
from hra_cli.comparison.growth import growth_of_sizes
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.folder import export_head
from hra_cli.experiment.metrics import DevRecord, read_metrics
from hra_cli.recognition.batch import decode_cuts
from hra_cli.recognition.load import load_recogniser
from hra_cli.report.facts import describe
from hra_cli.training.optimizers import new_optimizers
from hra_cli.training.train_heads import train
from hra_cli.transducer.search_options import SearchOptions

WIDTH, HIDDEN = 160, 16
ONE_HEAD = WIDTH * HIDDEN + WIDTH + WIDTH


class GatedHeads(HeadBank):
    """o_l = sigmoid(g_n) ⊙ (M_n h_l) + c_n."""

    def applying(self, heads):
        weight, gate, bias = heads
        return lambda h, width: (
            torch.sigmoid(gate[:, :width]) * project(h, weight[:, :width], torch.zeros_like(bias[:, :width]))
            + bias[:, :width]
        )


@pytest.fixture(autouse=True)
def gated(monkeypatch):
    kind = HeadKind(
        "gated",
        "sigmoid(g) (M h) + c",
        f"{__name__}:GatedHeads",
        {"weight": ("width", "hidden"), "gate": ("width",), "bias": ("width",)},
    )
    monkeypatch.setitem(KINDS, "gated", kind)


def test_it_is_trained_exported_decoded_and_described(data, tmp_path):
    exp_dir, file = tmp_path / "exp", tmp_path / "fr.safetensors"
    result = train(config(data, head="gated", hidden=HIDDEN), exp_dir)
    before, *_, after = [sum(one.loss.values()) for one in read_metrics(exp_dir) if isinstance(one, DevRecord)]
    assert after < before
    assert [row.parameters for row in result.rows] == [ONE_HEAD] * len(TASKS)

    export_head(exp_dir, "fr", file)
    head = read_head(file)
    assert (head.kind, head.hidden, head.inner, head.num_parameters) == ("gated", HIDDEN, 0, ONE_HEAD)
    assert bool(head.tensors["head.gate"].any()), "every tensor of the head is trained"

    cuts = load_tasks(data).cuts("fr", "test")
    decoded = [
        {one.id: one.hyp for one in decode_cuts(recogniser, cuts, "greedy_search", SearchOptions(), 20.0).utterances}
        for recogniser in (
            load_recogniser(BACKBONE, exp_dir=exp_dir),
            load_recogniser(BACKBONE, heads=[file]),
            load_recogniser(BACKBONE),
        )
    ]
    assert decoded[0] == decoded[1] != decoded[2]

    assert describe(file).facts["head"] == f"gated, {ONE_HEAD:,} parameters, float32"
    assert describe(exp_dir).facts["head"] == f"gated, hidden {HIDDEN}"


def test_it_is_a_method_of_comparisons_and_in_the_table_of_growth():
    method = parse_method("hra-gated:16")
    assert method.label == "HRA gated, H=16"
    grown = growth_of_sizes(WIDTH, 4, [method], [1, 100])
    assert grown.methods == {method.label: [HIDDEN * WIDTH + 2 * HIDDEN + n * ONE_HEAD for n in (1, 100)]}


def test_optimisers_know_which_of_its_parameters_are_matrices_and_which_are_per_task():
    adapter = new_adapter(TASKS, WIDTH, HIDDEN, "gated")
    names = {id(parameter): name for name, parameter in adapter.named_parameters()}
    found = [
        {(names[id(parameter)], group["per_task"]) for group in optimizer.param_groups for parameter in group["params"]}
        for optimizer in new_optimizers(adapter, 0.01)
    ]
    assert found == [
        {("controller.weight", False), ("bank.weight", True)},
        {("controller.recurrent", False), ("controller.bias", False), ("bank.gate", True), ("bank.bias", True)},
    ]
