from pathlib import Path

import warm
from lhotse import CutSet
from recordings import make_cut, write_wav

from hra_cli.data.preparation import prepare

RECIPE = Path(__file__).parents[2] / "recipes" / "accents"


def test_slow_and_fast_utterances_are_scored_apart(tmp_path):
    cuts = []
    for name, seconds in (("fast", 0.4), ("slow", 2.0)):
        write_wav(tmp_path / f"{name}.wav", seconds=seconds, rate=16000, seed=1)
        cuts.append(make_cut(tmp_path / f"{name}.wav", text="ONE TWO", speaker="ann"))
        cuts[-1].custom = {"task": "ann", "split": "test"}
    prepare(CutSet.from_cuts(cuts), tmp_path / "data", {}, num_jobs=1, on_the_fly=True)
    recogs = tmp_path / "recogs-test-greedy_search.txt"
    recogs.write_text(
        f"{cuts[0].id}:\tref=['ONE', 'TWO']\n{cuts[0].id}:\thyp=['ONE']\n"
        f"{cuts[1].id}:\tref=['ONE', 'TWO']\n{cuts[1].id}:\thyp=['ONE', 'TWO']\n"
    )
    command = [
        RECIPE / "local" / "by_rate.py", recogs, "--data", tmp_path / "data",
        "--backbone", RECIPE / "backbone", "--groups", "2",
    ]  # fmt: skip
    done = warm.run(*command, code=warm.FILE)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if str(recogs) in line]
    assert row.index("0.0 % (0 del)") < row.index("50.0 % (1 del)")
