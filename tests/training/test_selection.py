"""Which epoch a run selects."""

import pytest
import torch

from hra_cli.adapter.adapter import new_adapter
from hra_cli.scoring.wer import ErrorCounts, Scores
from hra_cli.training.selection import SelectedEpochs
from hra_cli.training.validation import DevResult

TASKS = ["ann", "bob"]


def run(errors, epoch_per_task=False):
    """What a run with these dev errors selects, a {task: errors} for each epoch. Epoch n's adapter holds n."""
    adapter = new_adapter(TASKS, width=8, hidden=4)
    selected = SelectedEpochs(TASKS, epoch_per_task)
    for epoch, of_tasks in enumerate(errors, start=1):
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.fill_(epoch)
        counts = {task: ErrorCounts(substitutions=of_tasks[task], words=100) for task in TASKS}
        scores = Scores(counts["ann"] + counts["bob"], counts)
        selected.offer(adapter, epoch, 10 * epoch, DevResult(scores, {task: float(epoch) for task in TASKS}))
    return selected


@pytest.mark.parametrize(
    ("ann", "epoch"),
    [
        ([50, 20, 16, 12, 15], 5),  # 3 more than 12, of which 3.5 are chance
        ([50, 20, 16, 12, 16], 4),  # 4 more are not
        ([50, 12, 20, 14, 16, 17], 4),
        ([50, 12, 16, 9, 13, 20], 4),  # 12 + 3.5 was enough, until there were 9
        ([3, 0, 1, 0, 1], 4),
        ([40, 30, 20, 10], 4),
        ([10, 30, 40], 1),
    ],
)
def test_the_last_epoch_is_selected_that_is_as_good_as_the_best(ann, epoch):
    selected = run([{"ann": errors, "bob": 0} for errors in ann])
    assert {one.epoch for one in selected.by_task.values()} == {epoch}
    assert {one.step for one in selected.by_task.values()} == {10 * epoch}
    assert selected.by_task["ann"].scores.substitutions == ann[epoch - 1]
    assert selected.by_task["ann"].loss == 2.0 * epoch
    assert all(torch.equal(tensor, torch.full_like(tensor, epoch)) for tensor in selected.tensors.values())


def test_heads_that_share_a_controller_are_selected_of_one_epoch_by_all_errors():
    selected = run([{"ann": 20, "bob": 80}, {"ann": 80, "bob": 40}, {"ann": 90, "bob": 10}])
    assert [selected.by_task[task].epoch for task in TASKS] == [3, 3]


def test_onboarded_heads_are_each_selected_of_their_own_epoch():
    selected = run([{"ann": 20, "bob": 80}, {"ann": 80, "bob": 40}, {"ann": 90, "bob": 10}], epoch_per_task=True)
    assert [selected.by_task[task].epoch for task in TASKS] == [1, 3]
    weight, bias = selected.tensors["bank.weight"], selected.tensors["bank.bias"]
    assert weight[0].unique().tolist() == bias[0].unique().tolist() == [1.0]
    assert weight[1].unique().tolist() == bias[1].unique().tolist() == [3.0]
