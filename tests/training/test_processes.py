"""Training by several processes, which torchrun starts."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
import warm
from builders import refused
from safetensors.torch import load_file
from speech import BACKBONE, hra

from hra_cli.experiment.metrics import dev_records
from hra_cli.training.processes import Processes, _started, together

TORCHRUN = ["--nproc_per_node", "2"]
if torch.__version__.startswith("1.13") and sys.version_info >= (3, 11):
    TORCHRUN += ["-r", "9:1", "-t", "9:1"]  # where its default fails, see docs/cluster.md
# Runs `hra` as one of several processes, of which one sends itself a signal when it comes to a step.
STOPPED = """
import os, sys
from hra_cli.app import main
from hra_cli.training.step import TrainingStep

signal_number, stop_at, rank = map(int, sys.argv[1:4])
call = TrainingStep.__call__

def stopped(self, batch, number, lr):
    if number == stop_at and self.processes.rank == rank:
        os.kill(os.getpid(), signal_number)
    return call(self, batch, number, lr)

TrainingStep.__call__ = stopped
main(sys.argv[4:])
"""
# Twenty steps in float64, the features too, alone or as one of several processes; then what was trained.
EXACT = """
import sys
from itertools import count
from pathlib import Path
import torch
from hra_cli.data.batch_plan import training_batches
from hra_cli.data.batches import load_batches
from hra_cli.experiment.config import TrainConfig
from hra_cli.training.processes import together
from hra_cli.training.train_heads import heads_loop

torch.set_num_threads(1)
backbone, data, output = sys.argv[1:]
config = TrainConfig(backbone=backbone, data=data, rnnt_type="modified")
with together() as processes:
    loop = heads_loop(config, Path("exp"), processes)
    loop.model.backbone.double()
    loop.adapter.double()
    numbers = iter(range(20))
    for epoch in count():
        plan = training_batches(loop.data.train, 6.0, 0, epoch).part(processes.part)
        for batch, number in zip(load_batches(plan), numbers):
            batch.features = batch.features.double()
            loop.step(batch, number, 0.004)
        if number == 19:
            break
    if processes.writes:
        torch.save(loop.adapter.state_dict(), output)
"""


@pytest.fixture
def options(data, tmp_path):
    options = ["train", "--backbone", BACKBONE, "--data", data, "--exp-dir", tmp_path / "exp", "--max-duration", 20]
    return [*map(str, options), "--num-epochs", "2", "--rnnt-type", "modified", "--seed", "1", "--resume"]


def free_port():
    """For one run: torchrun's own, with --standalone too, is the same for all that run at a time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def by_two(tmp_path):
    """Runs a program by two processes, which have imported all that takes long."""
    folder = tmp_path / "tools"
    folder.mkdir()

    def run(*program):
        code = "import runpy; runpy.run_module('torch.distributed.run', run_name='__main__')"
        options = [*TORCHRUN, "--master_port", free_port(), "--no_python"]
        return warm.run(*options, *program, code=code, env={**os.environ, **warm.tools(folder)})

    return run


def said(done):
    """What hra said; torchrun has things to say as well."""
    return [line for line in done.stderr.splitlines() if line.startswith("hra: ")]


def assert_same_heads(one, other):
    files = sorted((one / "heads").iterdir())
    assert {file.name for file in files} == {file.name for file in (other / "heads").iterdir()}
    for file in [*files, one / "controller.safetensors"]:
        found = load_file(other / file.relative_to(one))
        for name, tensor in load_file(file).items():
            assert (found[name] - tensor).norm() <= 1e-4 * tensor.norm(), (file.name, name)


def test_two_processes_train_the_heads_that_one_does(experiment, options, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", *TORCHRUN, "--master_port", str(free_port())]
    done = subprocess.run([*command, "-m", "hra_cli", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("with head WER %") == 1, "one of them prints"
    assert_same_heads(experiment, tmp_path / "exp")
    assert [one.wer for one in dev_records(tmp_path / "exp")] == [one.wer for one in dev_records(experiment)]
    assert "by 2 processes" in (tmp_path / "exp" / "train.log").read_text()


def test_two_processes_and_one_agree_in_float64_to_fourteen_digits(by_two, data, tmp_path):
    """In float32 rounding comes between: at a time a unit of the controller is above zero for one of them only."""
    program, one, two = tmp_path / "exact.py", tmp_path / "one.pt", tmp_path / "two.pt"
    program.write_text(EXACT)
    done = by_two("python", program, BACKBONE, data, two)
    assert done.returncode == 0, done.stderr
    done = warm.run(program, BACKBONE, data, one, code=warm.FILE)
    assert done.returncode == 0, done.stderr
    begun = torch.load(one)
    for name, tensor in torch.load(two).items():
        assert (tensor - begun[name]).norm() <= 1e-12 * tensor.norm(), name


def test_more_processes_than_utterances_in_a_batch(by_two, options, tmp_path):
    every_utterance_alone = [*options, "--max-duration", "0.5", "--num-epochs", "1", "--task", "fr"]
    done = by_two("hra", *every_utterance_alone)
    assert done.returncode == 0, done.stderr
    hra(*["one" if option == "exp" else option for option in every_utterance_alone], "--exp-dir", tmp_path / "one")
    assert_same_heads(tmp_path / "one", tmp_path / "exp")


def test_asked_to_stop_and_resumed_by_another_number_of_processes(by_two, experiment, options, tmp_path):
    (tmp_path / "stopped.py").write_text(STOPPED)
    stop_at = dev_records(experiment)[1].step + 1
    done = by_two("python", tmp_path / "stopped.py", int(signal.SIGTERM), stop_at, 1, *options)
    assert done.returncode != 0
    assert said(done) == ["hra: interrupted"]
    assert (tmp_path / "exp" / "heads").is_dir()
    hra(*options)
    assert_same_heads(experiment, tmp_path / "exp")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_is_named_and_ends_the_others(by_two, options, tmp_path, rank):
    (tmp_path / "stopped.py").write_text(STOPPED)
    done = by_two("python", tmp_path / "stopped.py", int(signal.SIGKILL), 2, rank, *options)
    assert done.returncode != 0
    (line,) = said(done)
    assert f"rank {rank} of 2 has died" in line
    assert "--resume" in line


def test_a_mistake_is_said_once(by_two, options):
    done = by_two("hra", *options, "--task", "martian")
    assert done.returncode != 0
    assert len(said(done)) == 1
    assert "martian" in said(done)[0]


def test_an_option_that_cannot_be_is_said_once(by_two, options):
    done = by_two("hra", *options, "--lr", "-1")
    assert done.returncode != 0
    assert said(done) == ["hra: error: --lr must be positive, not -1.0"]


def test_what_one_process_alone_cannot_read_is_said_once(by_two, options, tmp_path):
    raising = STOPPED.replace("os.kill(os.getpid(), signal_number)", "raise HraError('cut seven is gone')")
    (tmp_path / "stopped.py").write_text("from hra_cli.errors import HraError\n" + raising)
    done = by_two("python", tmp_path / "stopped.py", 0, 2, 1, *options)
    assert done.returncode != 0
    assert said(done) == ["hra: error: rank 1: cut seven is gone"]


def test_one_process_alone():
    with together({}) as processes:
        assert (processes.rank, processes.size, processes.writes) == (0, 1, True)
        assert processes.part([1, 2, 3]) == [1, 2, 3]
        assert processes.gather("a") == ["a"]
        assert processes.gather_numbers(1.5, 2) == [(1.5, 2)]
        assert [processes.any(asked) for asked in (True, False)] == [True, False]
        tensor = torch.ones(2)
        processes.add([tensor])
        assert tensor.tolist() == [1, 1]
    assert type(processes) is Processes


def test_srun_says_who_is_who():
    slurm = {
        "SLURM_STEP_NUM_TASKS": "16",
        "SLURM_PROCID": "9",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[03-05,09]",
        "SLURM_JOB_ID": "1234567",
    }
    assert _started(slurm) == {
        "RANK": "9",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "gpu03",
        "MASTER_PORT": "34567",
    }
    assert _started({**slurm, "SLURM_STEP_NODELIST": "login,gpu[1-2]"})["MASTER_ADDR"] == "login"
    assert _started({**slurm, "MASTER_ADDR": "here", "MASTER_PORT": "1"})["MASTER_ADDR"] == "here"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # sbatch without srun
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"RANK": "0"},
    ],
)
def test_started_alone(environment):
    assert _started(environment) is None


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"RANK": "2"}, {"MASTER_PORT": ""}, {"WORLD_SIZE": "many"}])
def test_an_environment_that_makes_no_sense_is_one_line(wrong):
    with refused("torchrun"):
        _started({"RANK": "0", "WORLD_SIZE": "2", **wrong})
