"""A folder of heads of which few are in memory: what is served, what is read when, what is refused."""

from dataclasses import replace

import pytest
import torch
from builders import BACKBONE, TOKENIZER, heads_of, random_adapter, random_features, refused, tiny_backbone

from hra_cli.adapter.head_file import write_head
from hra_cli.adapter.head_folder import HeadFolder
from hra_cli.adapter.heads_on_disk import serve_heads

WIDTH = 40
TASKS = ["ann", "bob", "cho", "dan", "eve"]
BATCHES = [["ann", "bob", "ann"], ["cho", "bob"], ["dan", "eve"], ["ann", "eve", "ann"], ["bob"], ["eve", "cho"]]


@pytest.fixture
def folder(tmp_path):
    for head in heads_of(random_adapter(TASKS, WIDTH)):
        write_head(tmp_path / f"{head.task}.safetensors", head)
    return tmp_path


def served(folder, **options):
    return serve_heads(HeadFolder(folder), BACKBONE, WIDTH, TOKENIZER, **options)


def use(adapter, *tasks):
    adapter.for_tasks(tasks)


@pytest.mark.parametrize("kind", ["linear", "ffn"])
@pytest.mark.parametrize("max_heads", [2, 3, 100])
def test_every_batch_comes_out_as_from_an_adapter_that_holds_all(tmp_path, kind, max_heads):
    backbone, adapter = tiny_backbone(), random_adapter(TASKS, WIDTH, kind)
    for head in heads_of(adapter):
        write_head(tmp_path / f"{head.task}.safetensors", head)
    lazy = served(tmp_path, max_heads=max_heads)
    assert all(parameter.shape[0] == min(max_heads, len(TASKS)) for parameter in lazy.bank.parameters())
    assert not any(parameter.requires_grad for parameter in lazy.parameters())
    for tasks in BATCHES:
        features, lens = random_features([45 + 7 * n for n in range(len(tasks))])
        with torch.no_grad():
            expected, _ = backbone.encode(features, lens, adapter.for_tasks(tasks))
            out, _ = backbone.encode(features, lens, lazy.for_tasks(tasks))
        assert torch.equal(out, expected)


def test_a_head_in_use_is_untouched_by_what_is_read_after_it(folder):
    adapter, lazy = random_adapter(TASKS, WIDTH), served(folder, max_heads=1)
    features, lens = random_features([60])
    with torch.no_grad():
        ann = lazy.for_tasks(["ann"])
        use(lazy, "bob")
        out, _ = tiny_backbone().encode(features, lens, ann)
        expected, _ = tiny_backbone().encode(features, lens, adapter.for_tasks(["ann"]))
    assert torch.equal(out, expected)


def test_a_head_is_read_when_it_is_needed_and_the_least_recently_used_goes(folder):
    lazy = served(folder, max_heads=3)
    use(lazy, "ann", "bob", "cho")
    use(lazy, "ann")
    use(lazy, "dan")  # in place of bob
    for file in folder.glob("*.safetensors"):
        file.unlink()
    use(lazy, "ann", "cho", "dan")
    for gone in ("bob", "eve"):
        with refused(f"no such file: .*{gone}"):
            use(lazy, gone)
    use(lazy, "ann", "cho", "dan")


def test_what_a_batch_needs_is_not_pushed_out_by_the_batch_itself(folder):
    lazy = served(folder, max_heads=3)
    use(lazy, "ann", "bob", "cho")
    use(lazy, "eve", "dan", "ann")
    (folder / "ann.safetensors").unlink()
    use(lazy, "ann", "dan", "eve")


def test_only_the_named_tasks_take_room(folder):
    lazy = served(folder, tasks=["bob", "dan"])
    assert lazy.tasks == ["bob", "dan"]
    assert lazy.bank.weight.shape[0] == 2
    assert lazy.parameters_per_task == WIDTH * 12 + WIDTH
    assert lazy.parameters_shared == 12 * WIDTH + 2 * 12
    with refused("no head for task 'ann'"):
        use(lazy, "bob", "ann")


def test_more_tasks_in_a_batch_than_heads_in_memory(folder):
    lazy = served(folder, max_heads=2)
    with refused("a batch has 3 different tasks, and --max-heads is 2; raise it to 3 or more, or lower --max-duration"):
        lazy.check(["ann", "bob", "ann", "cho"])
    with refused("3 different tasks"):
        use(lazy, "ann", "bob", "cho")
    use(lazy, "ann", "bob", "ann")


def test_a_task_without_a_file(folder):
    with refused(rf"no head for task 'bobb' in {folder}; did you mean 'bob'\?"):
        served(folder, tasks=["ann", "bobb"])
    with refused(r"no head for task 'evee'; did you mean 'eve'\?"):
        served(folder).check(["ann", "evee"])


def test_no_folder_and_no_heads(tmp_path):
    with refused("no such folder of heads: .*heads"):
        served(tmp_path / "heads")
    write_head(tmp_path / ".1234.ann.safetensors", heads_of(random_adapter(["ann"], WIDTH))[0])
    with refused("has no heads"):
        served(tmp_path)


def test_room_for_no_head(folder):
    with refused("--max-heads 0 must be 1 or more"):
        served(folder, max_heads=0)


def other_kind(adapter):
    ffn = random_adapter(["bob"], WIDTH, "ffn")
    ffn.controller.load_state_dict(adapter.controller.state_dict())
    return heads_of(ffn)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bob, adapter: replace(bob, task="eve"), r"bob\.safetensors holds the head of task 'eve'; name it eve"),
        (lambda bob, adapter: replace(bob, backbone_fingerprint="d" * 64), "'bob' belongs to another backbone"),
        (lambda bob, adapter: replace(bob, tokenizer_fingerprint="d" * 64), "'bob' was trained with another tokenizer"),
        (
            lambda bob, adapter: heads_of(random_adapter(["bob"], WIDTH, seed=7))[0],
            "'ann' and 'bob' belong to different controllers",
        ),
        (lambda bob, adapter: other_kind(adapter), r"'ann' \(linear, .*'bob' \(ffn, .*cannot be used together"),
    ],
)
def test_a_head_that_cannot_be_applied_is_an_error_when_it_is_needed(folder, change, message):
    adapter = random_adapter(TASKS, WIDTH)
    write_head(folder / "bob.safetensors", change(heads_of(adapter)[1], adapter))
    lazy = served(folder, max_heads=2)
    use(lazy, "ann", "cho")
    with refused(message):
        use(lazy, "bob")
    # What is in memory is as it was.
    features, lens = random_features([60])
    with torch.no_grad():
        out, _ = tiny_backbone().encode(features, lens, lazy.for_tasks(["ann"]))
        expected, _ = tiny_backbone().encode(features, lens, adapter.for_tasks(["ann"]))
    assert torch.equal(out, expected)


def test_the_first_head_must_belong_to_the_recogniser(folder):
    with refused("'ann' belongs to another backbone"):
        serve_heads(HeadFolder(folder), "d" * 64, WIDTH, TOKENIZER)
    with refused("'ann' has width 40, the backbone 48"):
        serve_heads(HeadFolder(folder), BACKBONE, 48, TOKENIZER)


def test_heads_without_their_controller(tmp_path):
    adapter = random_adapter(TASKS, WIDTH)
    for head in heads_of(adapter, bundled=False):
        write_head(tmp_path / f"{head.task}.safetensors", head)
    with refused("needs the controller [0-9a-f]{12}… and none is there; .*--controller"):
        served(tmp_path)
    with refused("the one given is"):
        served(tmp_path, controller=random_adapter(TASKS, WIDTH, seed=9).controller)
    lazy = served(tmp_path, controller=adapter.controller)
    use(lazy, "ann", "eve")


def test_a_task_without_a_head_is_refused_with_those_that_have_one(folder):
    with refused("no head for task 'flo' in .*; those that have one: --task ann --task bob$"):
        served(folder, tasks=["ann", "flo", "bob"])
    with refused("no head for task 'bop' in .*; did you mean 'bob'"):
        served(folder, tasks=["bop"])
