"""What every run.sh does with its stages and its files of options."""

import pytest


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("accents", ["--stage", "7", "--compare-conf", "no.conf"], "no file no.conf; write the options of hra compare"),
        ("fsdd", ["--stage", "3", "--conf", "none"], "no file none/train.conf; write the options of hra train"),
        ("fsdd", ["--stage", "9", "--conf", "none"], "no file none/connected-20.conf; write the options of hra"),
        ("speechocean762", ["--stage", "3", "--conf", "none"], "no file none/train.conf; write the options of hra"),
        ("speechocean762", ["--stage", "7", "--conf", "none"], "no file none/methods.conf; write the options of hra"),
    ],
)  # fmt: skip
def test_a_missing_file_of_options_is_one_line_and_nothing_is_trained(clone, recipe, options, message):
    done = clone.run(recipe, *options, "--stop-stage", options[1])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"run.sh: error: {message}" in done.stderr


def test_options_are_separated_by_white_space_and_no_pattern_of_files(clone, tmp_path):
    conf = tmp_path / "compare.conf"
    conf.write_text("--methods  conf/*\n--modes\tmulti\n")
    done = clone.run("accents", "--stage", "7", "--stop-stage", "7", "--compare-conf", conf)
    assert done.returncode == 2
    assert "no such method: 'conf/*'" in done.stderr
