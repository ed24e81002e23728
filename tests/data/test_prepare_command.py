from builders import refused
from recordings import write_wav
from typer.testing import CliRunner

from hra_cli.commands.prepare import app
from hra_cli.data.corpora.cuts import cuts_corpus
from hra_cli.data.corpus import prepare_corpus
from hra_cli.data.prepare_options import PrepareOptions
from hra_cli.data.splits import Assignment, RandomSplit
from hra_cli.data.task_index import load_tasks
from hra_cli.errors import HraError


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def test_fsdd_from_the_command_line(tmp_path):
    for name in ("3_ann_0.wav", "4_ann_6.wav", "5_ann_20.wav", "5_ann_21.wav"):
        write_wav(tmp_path / "fsdd" / "recordings" / name)
    (tmp_path / "fsdd" / "recordings" / "notes.txt").write_text("hello")
    command = ("fsdd", tmp_path / "fsdd", "--output-dir", tmp_path / "data", "--num-jobs", 1)
    first = run(*command)
    assert first.exit_code == 0, first.output
    rows = [line.replace("│", " ").split() for line in first.stdout.splitlines()]
    assert ["ann", "train", "2", "0.0", "2"] in rows
    assert ["1", "tasks", "4", "0.0", "4"] in rows
    assert ["not", "an", "FSDD", "file", "name", "1"] in rows
    assert str(tmp_path / "data" / "skipped.tsv") in first.stdout.replace("\n", "")
    again = run(*command)
    assert again.exit_code == 0
    assert "already prepared" in again.stdout
    assert ["ann", "train", "2", "0.0", "2"] in [line.replace("│", " ").split() for line in again.stdout.splitlines()]
    other = run(*command, "--on-the-fly")
    assert isinstance(other.exception, HraError)


def test_cuts_from_the_command_line(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    command = ("cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--num-jobs", 1)
    result = run(*command, "--output-dir", tmp_path / "data", "--test-fraction", 0.5, "--dev-fraction", 0)
    assert result.exit_code == 0, result.output
    index = load_tasks(tmp_path / "data")
    assert {split: entry.utterances for split, entry in index.splits("bob").items()} == {
        "train": 3,
        "test": 3,
    }
    other = run(*command, "--output-dir", tmp_path / "data")
    assert isinstance(other.exception, HraError)
    assert "test-fraction was 0.5 and is now 0.1" in str(other.exception)


def test_tasks_without_dev_or_test_are_named(tmp_path, corpus):
    corpus.subset(first=8).to_file(tmp_path / "cuts.jsonl.gz")  # all six of ann, and two of bob
    command = ("cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--num-jobs", 1)
    result = run(*command, "--output-dir", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "without dev, since they have too few utterances or none of it: bob\n" in result.stdout
    assert "without test, since they have too few utterances or none of it: bob\n" in result.stdout
    assert "without train" not in result.stdout


def test_perturbed_speed_triples_the_training_data_and_nothing_else(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    command = ("cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--num-jobs", 1, "--output-dir")
    assert run(*command, tmp_path / "plain").exit_code == 0
    result = run(*command, tmp_path / "perturbed", "--perturb-speed")
    assert result.exit_code == 0, result.output
    plain, perturbed = load_tasks(tmp_path / "plain"), load_tasks(tmp_path / "perturbed")
    for split in ("dev", "test"):
        assert perturbed.splits("ann")[split].words == plain.splits("ann")[split].words
        assert [cut.id for cut in perturbed.cuts("ann", split)] == [cut.id for cut in plain.cuts("ann", split)]
    before = {cut.id: cut for cut in plain.cuts("ann", "train")}
    after = {cut.id: cut for cut in perturbed.cuts("ann", "train")}
    assert set(after) == {id_ + suffix for id_ in before for suffix in ("", "_sp0.9", "_sp1.1")}
    for id_, cut in before.items():
        for speed in (0.9, 1.1):
            faster = after[f"{id_}_sp{speed}"]
            assert abs(faster.duration - cut.duration / speed) < 0.001
            assert faster.load_features().shape == (round(faster.duration * 100), 80)
            assert faster.supervisions[0].text == cut.supervisions[0].text
    refused = run(*command, tmp_path / "perturbed")
    assert "perturb-speed was true" in str(refused.exception)


def test_python_prepares_as_the_command_does(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    source = cuts_corpus(tmp_path / "cuts.jsonl.gz")
    assignment = Assignment("speaker", random_split=RandomSplit(test_fraction=0.5))
    options = PrepareOptions(num_jobs=1)
    first = prepare_corpus(source, tmp_path / "data", assignment, options)
    assert not first.was_there
    again = prepare_corpus(source, tmp_path / "data", assignment, options)
    assert again.was_there
    assert again.index.tasks == first.index.tasks == load_tasks(tmp_path / "data").tasks
    command = ("cuts", tmp_path / "cuts.jsonl.gz", "--task-by", "speaker", "--num-jobs", 1, "--test-fraction", 0.5)
    assert "already prepared" in run(*command, "--output-dir", tmp_path / "data").stdout


def test_other_cuts_in_the_same_file_are_another_corpus(tmp_path, corpus):
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    options = PrepareOptions(num_jobs=1)
    prepare_corpus(cuts_corpus(tmp_path / "cuts.jsonl.gz"), tmp_path / "data", Assignment("speaker"), options)
    corpus.subset(first=8).to_file(tmp_path / "cuts.jsonl.gz")
    with refused("cuts-sha256 was"):
        prepare_corpus(cuts_corpus(tmp_path / "cuts.jsonl.gz"), tmp_path / "data", Assignment("speaker"), options)


def test_given_splits_without_dev_get_one_where_it_is_asked_for(tmp_path, corpus):
    splits = tmp_path / "splits"
    splits.write_text("".join(f"{cut.id} {'test' if cut.id.endswith('0') else 'train'}\n" for cut in corpus))
    corpus.to_file(tmp_path / "cuts.jsonl.gz")
    command = (
        "cuts",
        tmp_path / "cuts.jsonl.gz",
        "--task-by",
        "speaker",
        "--split-by",
        f"file:{splits}",
        "--on-the-fly",
    )
    assert run(*command, "--output-dir", tmp_path / "without").exit_code == 0
    assert load_tasks(tmp_path / "without").without_split("dev") == ["ann", "bob"]
    drawn = run(*command, "--output-dir", tmp_path / "drawn", "--dev-fraction", 0.2, "--seed", 3)
    assert drawn.exit_code == 0, drawn.output
    index = load_tasks(tmp_path / "drawn")
    assert {split: one.utterances for split, one in index.splits("ann").items()} == {"train": 4, "dev": 1, "test": 1}
    assert next(iter(index.cuts("ann", "test"))).id == "ann-0"
    # Other lines in the file are other splits.
    splits.write_text(splits.read_text().replace("ann-1 train", "ann-1 dev"))
    with_dev = run(*command, "--output-dir", tmp_path / "given", "--dev-fraction", 0.2)
    assert "has a dev split; leave out --dev-fraction" in str(with_dev.exception)
    assert "split-by-sha256 was" in str(run(*command, "--output-dir", tmp_path / "without").exception)


def test_the_tasks_and_splits_of_fsdd_may_be_others(tmp_path):
    for name in ("0_ann_0", "0_ann_5", "0_ann_10", "0_bob_11", "0_cid_12"):
        write_wav(tmp_path / "recordings" / f"{name}.wav")
    command = ("fsdd", tmp_path / "recordings", "--on-the-fly", "--num-jobs", 1, "--task-by", "constant:all")
    assert run(*command, "--output-dir", tmp_path / "data").exit_code == 0
    index = load_tasks(tmp_path / "data")
    assert {split: one.utterances for split, one in index.splits("all").items()} == {"train": 3, "dev": 1, "test": 1}
    command = (*command, "--split-by", "random", "--split-speakers")
    assert run(*command, "--output-dir", tmp_path / "by-speaker").exit_code == 0
    index = load_tasks(tmp_path / "by-speaker")
    speakers = [{cut.supervisions[0].speaker for cut in index.cuts("all", split)} for split in index.splits("all")]
    assert sorted(map(sorted, speakers)) == [["ann"], ["bob"], ["cid"]]
    # Given splits, but for dev, whose speakers are none of train's.
    (tmp_path / "splits").write_text("0_ann_0 test\n0_ann_5 train\n0_ann_10 train\n0_bob_11 train\n0_cid_12 train\n")
    command = (*command[:-3], "--split-by", f"file:{tmp_path / 'splits'}", "--dev-fraction", 0.3, "--split-speakers")
    assert run(*command, "--output-dir", tmp_path / "dev-by-speaker").exit_code == 0
    index = load_tasks(tmp_path / "dev-by-speaker")
    train, dev = ({cut.supervisions[0].speaker for cut in index.cuts("all", split)} for split in ("train", "dev"))
    assert len(train) == 2
    assert len(dev) == 1
    assert not train & dev
    assert [cut.id for cut in index.cuts("all", "test")] == ["0_ann_0"]
    refused = run("fsdd", tmp_path / "recordings", "--split-by", "random", "--split-speakers", "--output-dir", tmp_path)
    assert "--split-speakers leaves a task of one speaker" in str(refused.exception)
