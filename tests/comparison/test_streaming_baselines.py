"""Every method of a comparison can be trained for streaming: in the chunks that are drawn, tested in those of use."""

import copy

import pytest

from hra_cli.backbone.options import Chunking
from hra_cli.baselines.methods import parse_method
from hra_cli.comparison.cell import cell_loop
from hra_cli.comparison.plan import Cell, CompareConfig, model_configs
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import load_batches
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.chunk_plan import ChunkPlan

PLAN = ChunkPlan((8, 16, -1), (16, 32), 16, 32)


@pytest.fixture(scope="module")
def loop_of(data, causal_recogniser):
    """The run of a method in the chunks of a plan."""

    def made(method, plan, folder):
        compared = CompareConfig(
            str(causal_recogniser), str(data), methods=(method,), max_duration=5.0, spec_augment=False, **vars(plan)
        )
        cell = Cell(parse_method(method), "multi", 0.004, seed=1)
        ((_, chosen),) = model_configs(compared, cell, ["de", "fr"])
        assert chosen.backbone_options.chunk_size == compared.backbone_options.chunk_size == plan.in_use.chunk_size
        return cell_loop(chosen, folder)

    return made


@pytest.fixture(scope="module")
def batch(data):
    cuts = load_tasks(data).cuts("de", "dev")
    return next(iter(load_batches(training_batches(cuts, 5.0, seed=1, epoch=0))))


@pytest.mark.parametrize("method", ["hra-linear:8", "full", "bitfit", "lora:2", "residual-adapters:2"])
def test_each_method_is_trained_with_the_chunks_that_are_drawn(loop_of, batch, tmp_path, method):
    loop = loop_of(method, PLAN, tmp_path)
    losses = {}
    for number in range(6):
        drawn = PLAN.drawn(1, number)
        losses.setdefault(drawn, set()).add(loop.step(copy.copy(batch), number, 0.0).total)
    assert len(losses) > 2
    for drawn in (Chunking(8, 32), Chunking()):
        alone = loop_of(method, ChunkPlan(drawn.chunk_size, drawn.left_context_frames), tmp_path)
        assert losses[drawn] == {alone.step(copy.copy(batch), 0, 0.0).total}
    assert losses[Chunking(8, 32)] != losses[Chunking()]


def test_a_chunk_that_cannot_be_is_refused_before_anything_is_trained(data, causal_recogniser, refused, tmp_path):
    command = ["compare", "--backbone", causal_recogniser, "--data", data, "--exp-dir", tmp_path / "exp"]
    error = refused(*command, "--chunk-size", "16,18", "--validate-chunk-size", "16")
    assert "--chunk-size 18 must be a multiple of 4" in error
    assert not (tmp_path / "exp").exists()
