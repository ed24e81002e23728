"""A short run of what `make fuzz` does at length."""

import random
from pathlib import Path

import pytest
from robustness.careless import CARELESS
from robustness.cases import BY_NAME
from robustness.found import FOUND
from robustness.fuzz import plan
from robustness.kinds import KINDS
from robustness.mutators import SENTINEL, torchscript
from robustness.outcomes import UNUSED, Outcome
from robustness.pool import run_cases
from robustness.samples import Samples

CASES = 120  # that, with the imports, is about a minute


def faults(outcomes: dict[tuple[str, int], Outcome]) -> str:
    return "\n".join(
        f"--kind {name} --seed {seed}: {outcome.name} {outcome.where} {outcome.detail}"
        for (name, seed), outcome in outcomes.items()
        if not outcome.good
    )


@pytest.mark.takes_minutes
def test_a_damaged_file_is_refused_with_a_line_or_changes_nothing(whole_files, tmp_path):
    cases = dict.fromkeys([*plan(CASES, [kind.name for kind in KINDS]), *FOUND])
    outcomes = dict(run_cases(list(cases), tmp_path, whole_files, jobs=1))
    assert outcomes.keys() == cases.keys()
    assert not faults(outcomes), faults(outcomes)
    # Whole files are read, apart from those that hra never opens, and those for which this machine may lack a decoder.
    unused = {name.partition("/")[0] for (name, _), outcome in outcomes.items() if outcome.name == UNUSED}
    assert unused <= {"legacy.pt", "audio.wav-gsm", "audio.opus", "audio.mp3", "table.parquet"}


def test_what_a_careless_reader_does_is_noticed(tmp_path):
    # What hangs first of all in a process may compute as long as imports would take.
    cases = [(name, 0) for name in sorted(CARELESS, key="careless-hangs".__eq__)]
    outcomes = {name: outcome for (name, _), outcome in run_cases(cases, tmp_path, Samples(tmp_path), 1, longest=1.0)}
    assert {name.removeprefix("careless-"): outcome.name for name, outcome in outcomes.items()} == {
        "executes": "executed",
        "writes-elsewhere": "executed",
        "raises": "traceback",
        "crashes": "crash",
        "hangs": "hang",
        "takes-all-memory": "memory",
        "names-nothing": "unclear",
        "accepts": "changed",
        "prints-what-is-there": "raw",
        "refuses": "refused",
    }
    assert "careless.py" in outcomes["careless-raises"].where
    assert "SIGSEGV" in outcomes["careless-crashes"].detail
    assert "_hangs" in outcomes["careless-hangs"].where


def test_the_same_seed_damages_the_same_way():
    content = bytes(range(256))
    for mutator in BY_NAME["audio.wav"].mutators:
        assert mutator(content, random.Random(1)) == mutator(content, random.Random(1))


def test_a_careless_reader_of_torchscript_runs_its_code(tmp_path, monkeypatch):
    """So that a reader that does not is known to have refused something."""
    import torch

    monkeypatch.chdir(tmp_path)
    Path("model.pt").write_bytes(torchscript(b"", random.Random(0)))
    assert not Path(SENTINEL).exists()
    torch.jit.load("model.pt")
    assert Path(SENTINEL).exists()
