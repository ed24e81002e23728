"""What a run finds in its folder: files that are damaged, of another run, half written, or cannot be written."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
import warm
from builders import refused
from data_folders import change_tasks
from speech import BACKBONE, TASKS, config, heads_of, hra

from hra_cli.experiment.config import TrainConfig, load_config, save_config
from hra_cli.experiment.metrics import dev_records, read_metrics
from hra_cli.io.lock import one_writer
from hra_cli.io.tensors import read_safetensors, write_safetensors
from hra_cli.report.write import write_report
from hra_cli.scoring.wer import ErrorCounts, Scores
from hra_cli.training.recorder import Recorder
from hra_cli.training.run_state import CHECKPOINT_NAME, RunState, save_checkpoint, sealed
from hra_cli.training.train_heads import heads_loop, train
from hra_cli.training.validation import DevResult


@pytest.fixture
def copied(experiment, tmp_path):
    """A finished experiment, for tests that change it."""
    return shutil.copytree(experiment, tmp_path / "exp")


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# One writer


@pytest.mark.parametrize("resume", [False, True])
def test_training_beside_a_running_one_is_refused(data, copied, resume):
    before = contents(copied)
    with one_writer(copied), refused(r"process \d+ .* is writing", copied, "wait until it ends"):
        train(config(data), copied, resume=resume)
    assert contents(copied) == before


# Checkpoints


@pytest.fixture(scope="module")
def loop(data, experiment):
    """The experiment's run, which tests make go on from other checkpoints."""
    return heads_loop(config(data), experiment)


def changed_checkpoint(exp_dir, change_state=lambda state: None, change_tensors=lambda tensors: None):
    """A checkpoint that is sealed as if a run had written it."""
    tensors, metadata = read_safetensors(exp_dir / CHECKPOINT_NAME)
    state = json.loads(metadata["state"])
    state = change_state(state) or state
    change_tensors(tensors)
    write_safetensors(exp_dir / CHECKPOINT_NAME, tensors, sealed(tensors, json.dumps(state)))


def rename_task(state):
    state["selected"]["other"] = state["selected"].pop("fr")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.update(epoch=99), "epoch 99 of 2"),
        (lambda state: state.update(epoch=-1), "epoch is -1"),
        (lambda state: state.update(epoch="2"), "epoch"),
        (lambda state: state.update(step=None), "step"),
        (lambda state: state.update(epoch=1, batch=5000), "does not go with this run"),
        (lambda state: state.update(loss_sum=float("nan")), "loss_sum is nan"),
        (lambda state: state.update(scaler={"scale": 2.0}), "does not go with this run"),
        (lambda state: state.update(frozen={"fr": 3}), "frozen.fr"),
        (lambda state: state.update(frozen={}), "other tasks"),
        (rename_task, "other tasks"),
        (lambda state: state["selected"]["fr"]["scores"].update(words=-3), "words is -3"),
        (lambda state: [state], "damaged"),
        (lambda state: state.update(more=1), "more"),
    ],
)
def test_a_checkpoint_whose_state_is_not_this_runs_is_refused(loop, copied, change, said):
    changed_checkpoint(
        copied, change_state=lambda state: change(state) if said == "damaged" else change(state) and None
    )
    loop.exp_dir = copied
    with refused("is damaged|is of a run|does not go with", copied / CHECKPOINT_NAME, said, "train into a new folder"):
        loop._go_on()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("adapter.bank.weight"), "adapter bank.weight is missing"),
        (lambda tensors: tensors.pop("selected.bank.bias"), "selected bank.bias is missing"),
        (lambda tensors: tensors.pop("exp_avg.bank.bias"), "exp_avg is missing"),
        (lambda tensors: tensors.update({"adapter.more": torch.zeros(2)}), "adapter more is not expected"),
        (lambda tensors: tensors.update({"momentum.more": torch.zeros(2)}), "momentum.more is not expected"),
        (lambda tensors: tensors.update({"other.more": torch.zeros(2)}), "it has a tensor other.more"),
        (lambda tensors: tensors.update({"adapter.bank.bias": torch.zeros(3)}), "is of shape (3,), not (2, 160)"),
        (lambda tensors: tensors.update({"momentum.bank.weight": torch.zeros(3)}), "momentum is of shape (3,)"),
        (
            lambda tensors: tensors.update({"selected.bank.bias": tensors["selected.bank.bias"].double()}),
            "torch.float64, not torch.float32",
        ),
    ],
)
def test_a_checkpoint_of_other_tensors_is_refused(loop, copied, change, said):
    changed_checkpoint(copied, change_tensors=change)
    loop.exp_dir = copied
    with refused("is of another run|is not a checkpoint", copied / CHECKPOINT_NAME, said, "train into a new folder"):
        loop._go_on()


def test_a_checkpoint_with_a_flipped_bit_is_refused(loop, copied):
    file = copied / CHECKPOINT_NAME
    content = bytearray(file.read_bytes())
    content[-7] ^= 1  # of a tensor
    file.write_bytes(content)
    loop.exp_dir = copied
    with refused("is damaged: it is not what was written", file):
        loop._go_on()


def test_a_checkpoint_that_an_earlier_version_wrote_is_gone_on_from(loop, copied):
    tensors, metadata = read_safetensors(copied / CHECKPOINT_NAME)
    write_safetensors(copied / CHECKPOINT_NAME, tensors, {"state": metadata["state"]})
    loop.exp_dir = copied
    assert loop._go_on()


def test_what_cannot_be_gone_on_from_is_left_as_it_is(data, copied):
    changed_checkpoint(copied, change_state=lambda state: state.update(epoch=99))
    before = contents(copied)
    with refused("is at epoch 99 of 2", copied / CHECKPOINT_NAME):
        train(config(data), copied, resume=True)
    assert contents(copied) == before


# Configurations and metrics


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is damaged"),
        ("- a list", "is damaged"),
        ("backbone: [", "is damaged: it is no plain YAML"),
        ("backbone: x\n", "data"),
        ("backbone: x\ndata: y\nhidden: '64'\n", "hidden"),
        ("backbone: x\ndata: y\nhidden: 0\n", "--hidden must be"),
        ("backbone: x\ndata: y\ntasks: fr\n", "tasks"),
        ("backbone: x\ndata: y\nother: 1\n", "other"),
        ("backbone: !!python/object/apply:os.getcwd []\n", "is damaged"),
    ],
)
def test_a_damaged_configuration_is_one_line(tmp_path, content, said):
    (tmp_path / "config.yaml").write_text(content)
    with refused("config.yaml", said):
        load_config(tmp_path)


def test_a_configuration_is_read_as_it_was_written(data, tmp_path):
    written = config(
        data, tasks=("de", "ä: b"), controller="/c", chunk_size=16, cache_frontend=True, spec_augment=False
    )
    save_config(written, tmp_path)
    assert load_config(tmp_path) == written


def test_a_last_line_of_metrics_that_was_cut_off_is_left_out(copied):
    file, whole = copied / "metrics.jsonl", read_metrics(copied)
    file.write_bytes(file.read_bytes()[:-9])
    assert read_metrics(copied) == whole[:-1]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"kind": "dev"}', '{"kind": "train", "step": "1"}', '{"kind": "new", "step": 1}', "\x00"]
)
def test_a_damaged_line_of_metrics_is_named(data, copied, tmp_path, line):
    file = copied / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with refused(r"metrics\.jsonl, line 2, is damaged", "delete that line"):
        write_report(copied, tmp_path / "report.html")
    before = contents(copied)
    with refused(r"metrics\.jsonl, line 2, is damaged"):
        Recorder(copied, config(data), [], lambda selected, state: None, 0)
    assert contents(copied) == before


@pytest.mark.parametrize(("share", "within"), [(1e9, True), (1e-9, False)])
def test_checkpoints_that_take_long_to_write_are_fewer(data, tmp_path, monkeypatch, share, within):
    monkeypatch.setattr("hra_cli.training.loop.SAVE_EVERY", 1)
    monkeypatch.setattr("hra_cli.training.loop.SAVING_SHARE", share)
    saved = []

    def save(exp_dir, state, *rest):
        saved.append((state.step, state.batch))
        save_checkpoint(exp_dir, state, *rest)

    monkeypatch.setattr("hra_cli.training.recorder.save_checkpoint", save)
    loop = heads_loop(config(data, num_epochs=1), tmp_path)
    loop.run()
    last = loop.state.step
    assert last > 2
    assert saved == [(0, 0), *((step, step) for step in range(1, last) if within), (last, 0)]


# What a killed run leaves behind


def test_what_a_killed_run_was_writing_is_removed_by_the_next(data, experiment, copied):
    leftovers = [
        copied / "heads" / ".0123abcd.de.safetensors",
        copied / "checkpoints" / ".0123abcd.last.safetensors",
        copied / ".0123abcd.config.yaml",
    ]
    for file in leftovers:
        file.write_bytes(b"half")
    (copied / "heads" / "de.safetensors").unlink()  # killed before it was renamed
    train(config(data), copied, resume=True)
    assert not any(file.exists() for file in leftovers)
    assert heads_of(copied) == heads_of(experiment)


def test_heads_that_are_there_are_not_written_again(data, copied):
    heads = {file: file.stat().st_mtime_ns for file in sorted((copied / "heads").iterdir())}
    damaged = next(iter(heads))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    train(config(data), copied, resume=True)
    written = [file for file, time in heads.items() if file.stat().st_mtime_ns != time]
    assert written == [damaged]


# What cannot be written


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("train.log", lambda file: file.symlink_to("/dev/full"), "No space left on device"),
        ("train.log", lambda file: file.mkdir(), "Is a directory"),
        ("train.log", lambda file: file.symlink_to(file), "Too many levels of symbolic links"),
        ("config.yaml", lambda file: file.mkdir(), "Is a directory"),
        ("tensorboard", lambda file: file.write_text(""), "File exists"),
        ("metrics.jsonl", lambda file: file.mkdir(), "Is a directory"),
    ],
)
def test_what_cannot_be_written_is_one_line_that_names_it(data, tmp_path, name, make, said):
    make(tmp_path / name)
    with refused(f"cannot (read|write) {tmp_path / name}", said):
        recorder = Recorder(tmp_path, config(data), [], lambda selected, state: None, -1)
        try:
            recorder.say("something")
        finally:
            recorder.close()


def test_of_many_tasks_the_log_has_the_best_and_the_worst(data, tmp_path):
    scores = {f"speaker-{number:02d}": ErrorCounts(substitutions=7 * number % 30, words=100) for number in range(30)}
    found = DevResult(Scores(sum(scores.values(), ErrorCounts()), scores), dict.fromkeys(scores, 1.0))
    recorder = Recorder(tmp_path, config(data), [], lambda selected, state: None, -1)
    recorder.dev(RunState(""), found)
    recorder.close()
    (line,) = (tmp_path / "train.log").read_text().splitlines()
    assert "(speaker-00 0.00, speaker-13 1.00, " in line
    assert ", … 10 more, " in line
    assert line.endswith(", speaker-17 29.00)")
    (record,) = dev_records(tmp_path)
    assert len(record.wer) == 30


@pytest.mark.parametrize("room", [2_000, 30_000])
def test_a_disk_without_room_is_one_line_and_the_run_can_go_on(data, experiment, tmp_path, room):
    exp_dir = tmp_path / "exp"
    options = ["--backbone", BACKBONE, "--data", data, "--exp-dir", exp_dir, "--max-duration", 20, "--num-epochs", 2]
    options += ["--rnnt-type", "modified", "--seed", 1]
    little = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
    full = warm.run("train", *options, code=little + warm.HRA)
    assert full.returncode == 2
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("hra: error: ")]
    assert f"cannot write {exp_dir}/" in line
    assert "File too large" in line
    assert "Traceback" not in full.stderr
    assert not list(exp_dir.rglob(".*")), "nothing half written, and no lock"
    if room > 2_000:
        train(config(data), exp_dir, resume=True)
        assert heads_of(exp_dir) == heads_of(experiment)


# Where there is nothing to measure, or nothing finite


@pytest.fixture
def without_dev(data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    change_tasks(folder, lambda content: [content["tasks"][task].pop("dev") for task in TASKS])
    return folder


def test_without_dev_it_is_said_the_last_epoch_is_selected_and_no_wer_is_shown(without_dev, tmp_path):
    exp_dir = tmp_path / "exp"
    options = ["--backbone", BACKBONE, "--data", without_dev, "--exp-dir", exp_dir, "--max-duration", 40]
    done = hra("train", *options, "--num-epochs", "2")
    assert "there are no words on dev: no WER, and the last epoch is selected" in done.stdout
    assert "selected epoch 2 of 2" in done.stdout
    table = [line for line in done.stdout.splitlines() if "│" in line]
    assert len(table) == len(TASKS) + 1
    assert all(line.count("–") == 3 and "0.00" not in line for line in table)
    log = (exp_dir / "train.log").read_text()
    assert "there are no utterances on dev" in log
    assert log.count("no words on dev") == 3
    assert "WER 0" not in log
    assert all(record.wer_total is None and record.wer == {} for record in dev_records(exp_dir))
    page = write_report(exp_dir, tmp_path / "report.html").read_text()
    assert "– % → – %" in page


def test_a_step_that_leaves_something_infinite_ends_the_run_without_heads(data, tmp_path):
    loop = heads_loop(config(data, max_duration=1000.0, num_epochs=2), tmp_path / "exp")
    step = loop.step

    def last_step_overflows(batch, number, lr):
        result = step(batch, number, lr)
        if number == 1:
            with torch.no_grad():
                step.trained[0].view(-1)[0] = torch.inf
        return result

    for name in ("state", "trained", "check_parameters"):
        setattr(last_step_overflows, name, getattr(step, name))
    loop.step = last_step_overflows
    with refused("the trained parameters are not finite after step 2", "lower --lr into a new folder"):
        loop.run()
    assert not (tmp_path / "exp" / "heads").exists()
    assert not (tmp_path / "exp" / "controller.safetensors").exists()
    assert "not finite after step 2" in (tmp_path / "exp" / "train.log").read_text()


def test_a_loss_on_dev_that_is_not_finite_ends_the_run_without_heads(data, tmp_path):
    loop = heads_loop(config(data, max_duration=1000.0, num_epochs=1), tmp_path / "exp")
    validate = loop.validate

    def overflows(model):
        found = validate(model)
        return found if model.adapter is None else dataclasses.replace(found, losses={**found.losses, "fr": math.inf})

    loop.validate = overflows
    with refused("the loss on dev is not finite after step 1; train with a lower --lr", "of task fr"):
        loop.run()
    assert not (tmp_path / "exp" / "heads").exists()


def test_a_recogniser_whose_name_no_config_can_hold_is_refused_before_the_work(tmp_path):
    with refused(r"back\\udce9 is no UTF-8 text"):
        TrainConfig(backbone=str(tmp_path / "back\udce9"), data=str(tmp_path))
