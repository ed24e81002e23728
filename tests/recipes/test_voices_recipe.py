"""The whole recipe with two speakers: that its stages fit together."""

import json

import pytest

pytest.importorskip("espeakng_loader")

COMPARE = (
    "--max-duration 30 --num-epochs 1 --rnnt-type modified --lrs 0.05 --modes multi --methods hra-linear:4,lora:1\n"
)


@pytest.mark.takes_minutes
def test_every_stage_leaves_what_the_next_one_needs(clone, tmp_path):
    conf = tmp_path / "conf"
    conf.mkdir()
    for count in (1, 2):
        (conf / f"{count}.conf").write_text(COMPARE)
    exp = tmp_path / "exp"
    options = [
        "--data", tmp_path / "data", "--exp", exp, "--conf", conf, "--speakers", "2", "--counts", "2 1",
        "--train", "3", "--dev", "1", "--test", "2", "--num-jobs", "1",
    ]  # fmt: skip
    done = clone.run("voices", *options)
    assert done.returncode == 0, done.stderr
    frozen = json.loads((exp / "frozen" / "wer.json").read_text())
    assert list(frozen["tasks"]) == ["voice-000", "voice-001"]
    one, two = (json.loads((exp / f"compare-{count}" / "comparison.json").read_text()) for count in (1, 2))
    assert (one["tasks"], two["tasks"]) == (["voice-000"], ["voice-000", "voice-001"])

    lines = (exp / "RESULTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    methods = ("HRA linear, H=4", "LoRA, r=1")
    table = [row for row in rows if row[0] in ("frozen", *methods) and row[1] in ("1", "2") and len(row) == 9]
    assert [row[:2] for row in table] == [[name, count] for count in "12" for name in ("frozen", *methods)]
    for found, of_count in ((one, table[:3]), (two, table[3:])):
        for cell, row in zip(found["cells"], of_count[1:]):
            counts = cell["tasks"]["voice-000"]
            sizes = (cell["parameters_per_task"], cell["parameters_shared"], cell["parameters_in_all"])
            assert row[2:6] == [*(f"{size:,}" for size in sizes), f"{cell['wer']:.1f}"]
            assert row[8] == f"{100 * counts['errors'] / counts['words']:.1f}"
    (conf / "few-shots.conf").write_text(COMPARE.replace("multi", "onboard --shots 0,2 --onboard-epochs 1"))
    done = clone.run("voices", *options, "--known", "1", "--held-out", "1", "--stage", "5", "--stop-stage", "5")
    assert done.returncode == 0, done.stderr
    learned = json.loads((exp / "compare-few-shots" / "comparison.json").read_text())
    assert learned["onboarding"]["folds"] == [["voice-001"]]
    assert "WER % of 2 speakers with the frozen model: lowest " in "\n".join(lines)
    assert clone.status() == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--counts", "few"], "--speakers, --counts, --known and --held-out are numbers from 1 to 999, not 'few'"),
        (["--stage", "3", "--speakers", "8", "--counts", "9"], "there are 8 speakers, and --counts asks for 9"),
        (["--stage", "3", "--counts", "7"], "no file conf/7.conf; write the options of hra compare for 7 speakers"),
        (["--stage", "5"], "--stage 5 is beyond --stop-stage 4, so nothing would run; give --stop-stage 5, too"),
        (
            ["--stage", "5", "--stop-stage", "5", "--speakers", "8"],
            "there are 8 speakers, and --known and --held-out ask for 96",
        ),
        (["--stage", "5", "--stop-stage", "5", "--conf", "local"], "no file local/few-shots.conf; write the options"),
        (["--stage", "4"], "frozen/wer.json is missing; run the stages of run.sh before this one first"),
    ],
)
def test_a_mistake_is_one_line(clone, options, message):
    done = clone.run("voices", *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
