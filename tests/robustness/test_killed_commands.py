"""A short run of what `make chaos` does at length. Training and comparisons are killed in their own tests too."""

import signal

import pytest
from robustness.chaos import Kill, faults_after, undisturbed
from robustness.commands_to_kill import BY_NAME, contents, leftovers

from hra_cli.io.lock import LOCK_NAME


@pytest.mark.parametrize("name", ["prepare --num-jobs 2", "train --resume", "decode", "export-head"])
def test_killed_and_run_again_gives_the_same(whole_files, tmp_path, name):
    whole = undisturbed(BY_NAME[name], tmp_path / "whole", whole_files)
    kill = Kill(name, signal.SIGKILL, 0.8 * whole.seconds, whole_group=False)
    _, faults = faults_after(kill, tmp_path / "kill", whole_files, whole)
    assert not faults


@pytest.mark.parametrize("seconds", [0.1, 0.4, 0.8, 1.2, 1.6])
def test_ctrl_c_while_a_command_only_starts_is_no_traceback(whole_files, tmp_path, seconds):
    command = BY_NAME["export-head"]
    whole = undisturbed(command, tmp_path / "whole", whole_files)
    _, faults = faults_after(
        Kill(command.name, signal.SIGINT, seconds, whole_group=True), tmp_path / "kill", whole_files, whole
    )
    assert not faults


def test_what_a_killed_run_leaves_is_seen(tmp_path):
    for name in ("tasks.json", LOCK_NAME, ".0123abcd.tasks.json", ".hra-prepare-unfinished"):
        (tmp_path / name).write_text("{}")
    assert sorted(leftovers(tmp_path)) == sorted([LOCK_NAME, ".0123abcd.tasks.json", ".hra-prepare-unfinished"])


def test_times_and_the_folder_do_not_count_as_a_difference(tmp_path):
    for folder, seconds in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "result.json").write_text(
            f'{{"seconds": {seconds}, "path": "{tmp_path / folder}", "wer": 1.0}}'
        )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    (tmp_path / "two" / "result.json").write_text('{"seconds": 1, "path": "", "wer": 2.0}')
    assert contents(tmp_path / "one") != contents(tmp_path / "two")
